"""Every page as a picture: `python -m tests.browser.screenshots FOLDER [--only NAME]`.

Run it under the launcher, which brings the servers:
`python -m config.launcher exec --throwaway -- .venv/bin/python -m tests.browser.screenshots out`.
It migrates, plays the scenes into the database, serves the product on a free port and writes one
PNG per page, width and theme.
"""

import argparse
import io
import itertools
import os
import secrets
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from config import serve
from config.launcher.tools import find_chromium
from tests import stripe_server

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = {"desktop": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
START_SECONDS = 60
TALK = "What is a race condition? Show one in Python."
THOUGHT = "They want a short definition, and then the smallest program in which two threads meet."
SAID = """A **race condition** is a bug whose outcome depends on which of two things happens first.

```python
from threading import Thread

count = 0

def add():
    global count
    for _ in range(100_000):
        count += 1  # read, add, write: three steps

threads = [Thread(target=add) for _ in range(2)]
```

Two threads may both read `41`, and both write `42`. To mend it:

1. Hold a `Lock` around the three steps.
2. Or give each thread a count of its own, and add them up at the end.
"""


@dataclass(frozen=True)
class Page:
    name: str
    path: str
    who: str = ""  # "busy", "new", "operator", or nobody
    full: bool = True
    act: str = ""


PAGES = [
    Page("landing", "/"),
    Page("sign-in", "/accounts/login/"),
    Page("sign-up", "/accounts/signup/"),
    Page("reset", "/accounts/password/reset/"),
    Page("docs", "/docs"),
    Page("docs-chat", "/docs/chat-completions"),
    Page("docs-models", "/docs/models", full=False),
    Page("docs-reference", "/docs/api-reference"),
    Page("docs-search", "/docs/search?q=stream", full=False),
    Page("models", "/models"),
    Page("models-none", "/models?q=nothing-like-it", full=False),
    Page("model", "/models/deepseek-reasoner"),
    Page("status", "/status"),
    Page("admin", "/admin/", "operator"),
    Page("admin-organizations", "/admin/accounts/organization/", "operator"),
    Page("admin-organization", "/admin/accounts/organization/{organization}/change/", "operator"),
    Page("admin-adjust", "/admin/accounts/organization/{organization}/adjust/", "operator"),
    Page("admin-adjustment", "/admin/billing/adjustmentrequest/{adjustment}/change/", "operator"),
    Page("admin-channels", "/admin/providers/channel/", "operator"),
    Page("admin-price", "/admin/providers/price/add/?model={model}", "operator", act="price"),
    Page("admin-codes", "/admin/billing/redeemcode/make/", "operator"),
    Page("admin-margin", "/admin/billing/costday/margin/", "operator"),
    Page("admin-cost", "/admin/providers/upstreamprice/add/", "operator"),
    Page("admin-log", "/admin/accounts/auditentry/", "operator"),
    Page(
        "impersonation",
        "/admin/accounts/organization/{organization}/change/",
        "operator",
        act="impersonate",
    ),
    Page("not-found", "/nothing-here"),
    Page("welcome", "/accounts/signup/", act="sign-up"),
    Page("overview-new", "/overview", "new"),
    Page("usage-new", "/usage", "new"),
    Page("keys-new", "/keys", "new"),
    Page("requests-new", "/requests", "new"),
    Page("playground-new", "/playground", "new", full=False),
    Page("playground", "/playground?model=deepseek-reasoner", "busy", full=False, act="talk"),
    Page("playground-code", "/playground", "busy", full=False, act="code"),
    Page("overview", "/overview", "busy"),
    Page("overview-menu", "/overview", "busy", full=False, act="menu"),
    Page("usage", "/usage", "busy"),
    Page("usage-hover", "/usage?show=tokens&by=key", "busy", full=False, act="chart"),
    Page("usage-compared", "/usage?period=7d&compare=1&by=member", "busy"),
    Page("usage-today", "/usage?period=today", "busy", full=False),
    Page("usage-narrowed", "/usage?model=nothing-like-it", "busy", full=False),
    Page("keys", "/keys", "busy"),
    Page("keys-none", "/keys?q=nothing-like-it", "busy", full=False),
    Page("key", "/keys/{key}", "busy"),
    Page("key-change", "/keys/{key}/change", "busy"),
    Page("key-rotate", "/keys/{key}/rotate", "busy", full=False),
    Page("key-new", "/keys/new", "busy", act="limits"),
    Page("key-created", "/keys/new", "busy", act="create"),
    Page("key-revoke", "/keys/{key}/revoke", "busy"),
    Page("requests", "/requests", "busy"),
    Page("requests-none", "/requests?status=client&period=1h", "busy", full=False),
    Page("request", "/requests/{request}", "busy"),
    Page("billing", "/billing", "busy"),
    Page("billing-new", "/billing", "new"),
    Page("billing-history", "/billing/history", "busy"),
    Page("billing-top-up", "/billing/top-up", "busy"),
    Page("billing-bank", "/billing/top-up/{bank_order}", "busy"),
    Page("billing-card", "/billing/top-up/{card_order}", "busy"),
    Page("billing-paid", "/billing/top-up/{paid_order}", "busy"),
    Page("billing-redeem", "/billing/redeem", "busy"),
    Page("billing-cards", "/billing/payment", "busy"),
    Page("billing-cards-new", "/billing/payment", "new"),
    Page("billing-limits", "/billing/limits", "busy"),
    Page("billing-invoices", "/billing/invoices", "busy"),
    Page("billing-plans", "/billing/plans", "busy"),
    Page("billing-details", "/billing/details", "busy"),
    Page("plan", "/billing/plans/pro", "busy"),
    Page("invoice", "/billing/invoices/{invoice}", "busy"),
    Page("settings", "/settings", "busy"),
    Page("settings-members", "/settings/members", "busy"),
    Page("settings-members-new", "/settings/members", "new"),
    Page("settings-member", "/settings/members/{member}", "busy"),
    Page("settings-remove", "/settings/members/{member}/remove", "busy"),
    Page("settings-projects", "/settings/projects", "busy"),
    Page("settings-project", "/settings/projects/{project}", "busy"),
    Page("settings-archive", "/settings/projects/{project}/archive", "busy"),
    Page("settings-webhooks", "/settings/webhooks", "busy"),
    Page("settings-webhooks-new", "/settings/webhooks", "new"),
    Page("settings-endpoint", "/settings/webhooks/{endpoint}", "busy"),
    Page("settings-endpoint-off", "/settings/webhooks/{endpoint_off}", "busy"),
    Page("settings-endpoint-new", "/settings/webhooks/new", "busy"),
    Page("settings-endpoint-secret", "/settings/webhooks/new", "busy", act="endpoint"),
    Page("settings-endpoint-change", "/settings/webhooks/{endpoint}/change", "busy", full=False),
    Page("settings-endpoint-rotate", "/settings/webhooks/{endpoint}/rotate", "busy"),
    Page("settings-endpoint-delete", "/settings/webhooks/{endpoint}/delete", "busy", full=False),
    Page("settings-delivery", "/settings/webhooks/deliveries/{delivery}", "busy"),
    Page("settings-delivery-failed", "/settings/webhooks/deliveries/{delivery_failed}", "busy"),
    Page("settings-log", "/settings/audit-log", "busy"),
    Page("settings-owner", "/settings/owner", "busy"),
    Page("settings-leave", "/settings/leave", "busy"),
    Page("settings-delete", "/settings/delete", "busy"),
    Page("settings-invitation", "/invitations/picture"),
    Page("account", "/account", "busy"),
    Page("account-email", "/account/email", "busy"),
    Page("account-password", "/account/password", "busy"),
    Page("account-two-factor", "/account/two-factor", "busy"),
    Page("account-app", "/account/two-factor/app", "busy", act="confirm"),
    Page("account-passkey", "/account/passkeys/add", "busy", act="confirm"),
    Page("account-confirm", "/account/two-factor/app", "new"),
    Page("account-data", "/account/data", "busy"),
    Page("account-delete", "/account/delete", "busy", act="confirm"),
    Page("account-sessions", "/account/sessions", "busy"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names that start with this, comma-separated")
    parser.add_argument("--widths", default="desktop,phone")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--languages", default="en,zh-hans")
    chosen = parser.parse_args()
    names = tuple(chosen.only.split(","))
    pages = [page for page in PAGES if page.name.startswith(names)]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    os.environ.setdefault("TTONK_EMAIL_VERIFICATION", "optional")
    with stripe_server.running() as stripe:
        os.environ.update(stripe_server.environment(stripe))
        _take(pages, chosen, prepare(stripe))


def _take(pages: list[Page], chosen: argparse.Namespace, facts: dict[str, Any]) -> None:
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with answering(), serving() as url:
        looks = itertools.product(
            chosen.widths.split(","), chosen.themes.split(","), chosen.languages.split(",")
        )
        shoot(url, facts, pages, chosen.folder, list(looks))


def prepare(stripe_url: str) -> dict[str, Any]:
    """Migrate, seed, and play a busy and a new organization in; returns whom to sign in as."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("seed_catalog", stdout=io.StringIO())
    from billing.models import Invoice, UsageRecord
    from tests import factories, history, payments, webhooks

    history.measure_models()
    history.probe()
    mark = secrets.token_hex(3)
    busy = factories.UserFactory.create(email=f"alice-{mark}@example.com")
    organization = factories.OrganizationFactory.create(name="Acme Robotics", owner=busy)
    factories.OrganizationFactory.create(name="Side Project", owner=busy)
    factories.month_of_use(organization)
    fresh = factories.UserFactory.create(email=f"new-{mark}@example.com")
    factories.OrganizationFactory.create(name="New Venture", owner=fresh)
    people = factories.team(organization, mark)
    mine = UsageRecord.objects.filter(organization_id=organization.pk, status=200)
    latest = mine.order_by("-id")[2]
    return {
        **payments.play_in(organization, stripe_url),
        "busy": busy.email,
        "new": fresh.email,
        "password": factories.PASSWORD,
        **people,
        **webhooks.play_in(organization),
        "key": organization.api_keys.order_by("pk")[0].pk,
        "request": f"req_{latest.pk.hex}",
        **_operate(organization, mark),
        "invoice": Invoice.objects.get(organization=organization).number,
    }


def _operate(organization: Any, mark: str) -> dict[str, Any]:
    """An operator, who has asked for something of the organization."""
    from accounts.models import User
    from billing import adjustments
    from providers.models import Model
    from tests import books
    from tests.factories import PASSWORD, USD

    books.follow(organization)

    operator = User.objects.create_superuser(f"olga-{mark}@example.com", PASSWORD)
    asked = adjustments.ask(
        organization, 250 * USD, reason="Outage of 2026-11-02", by=operator, form_id=uuid.uuid4()
    )
    return {
        "operator": operator.email,
        "organization": organization.pk,
        "adjustment": asked.pk,
        "model": Model.objects.get(name="qwen-plus").pk,
    }


@contextmanager
def answering() -> Iterator[None]:
    """A model behind every name, for the block's time: it always says the same."""
    from providers.models import Channel, Model, Provider
    from tests.scripts import Script
    from tests.upstream import ScriptedUpstream

    with ScriptedUpstream() as upstream:
        said = Script(text=SAID, reasoning=THOUGHT, chunks=60, gap_ms=15, first_token_ms=240)
        upstream.otherwise = lambda _body: said
        for model in Model.objects.all():
            Channel.objects.create(
                provider=Provider.objects.get(slug="alibaba"), model=model, priority=1,
                base_url=upstream.base_url, upstream_model=model.name,
            )  # fmt: skip
        yield


@contextmanager
def serving() -> Iterator[str]:
    """The product on a free port, for the block's time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(serve.command(port), env=os.environ.copy())
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urlopen(f"{url}/docs", timeout=5):
                    break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def shoot(
    url: str,
    facts: dict[str, Any],
    pages: list[Page],
    folder: Path,
    looks: list[tuple[str, str, str]],
) -> None:
    """One picture per page and look: width, theme and language."""
    from playwright.sync_api import sync_playwright

    states: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        for who in {page.who for page in pages} - {""}:
            context = browser.new_context()
            sign_in(context.new_page(), url, facts[who], facts["password"])
            states[who] = context.storage_state()
            context.close()
        for look in looks:
            for page in pages:
                picture = folder / f"{'-'.join((page.name, *look))}.png"
                state = states.get(page.who)
                _shoot_page(browser, url + page.path.format(**facts), page, look, state, picture)
        browser.close()


def _shoot_page(
    browser: Any, url: str, page: Page, look: tuple[str, str, str], state: Any, picture: Path
) -> None:
    width, theme, language = look
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    context = browser.new_context(
        viewport=size, color_scheme=theme, storage_state=state, locale=language
    )
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", partial(_note, complaints))
    tab.goto(url, wait_until="networkidle")
    act(tab, page.act)
    if page.full:  # a fixed bar belongs at the end of the picture
        size["height"] = max(size["height"], tab.evaluate("document.documentElement.scrollHeight"))
        tab.set_viewport_size(size)
    tab.screenshot(path=picture, full_page=page.full)
    overflow = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    if overflow > 0 or complaints:
        print(picture.stem, f"overflow {overflow}", complaints)
    context.close()


def _note(complaints: list[str], said: Any) -> None:
    complaints.append(said.text)


def sign_in(tab: Any, url: str, email: str, password: str) -> None:
    tab.goto(f"{url}/accounts/login/")
    tab.fill("[name=login]", email)
    tab.fill("[name=password]", password)
    tab.click("form .button-primary")
    tab.wait_for_url(lambda now: "/accounts/login" not in now)


def act(tab: Any, what: str) -> None:
    if what == "menu":
        tab.click(".rail-foot summary")
    elif what == "chart":
        tab.focus(".chart-plot")
        for _ in range(4):
            tab.keyboard.press("ArrowLeft")
    elif what == "talk":
        tab.fill("[name=prompt]", TALK)
        tab.keyboard.press("Control+Enter")
        tab.wait_for_selector("[data-charge], .turn .note", timeout=20_000)
    elif what == "code":
        tab.click("[data-show-code]")
    elif what == "limits":
        tab.click(".disclosure summary")
    elif what == "sign-up":
        tab.fill("[name=email]", f"{secrets.token_hex(4)}@example.com")
        tab.fill("[name=password1]", secrets.token_urlsafe(12))
        tab.click("form .button-primary")
        tab.wait_for_selector("[data-secret]")
    elif what == "confirm" and tab.locator("[name=password]").count():
        tab.fill("[name=password]", "correct horse battery staple")
        tab.click("form .button-primary")
        tab.wait_for_selector(".account-nav")
    elif what == "price":
        for name in ("input", "cached_input", "output", "reasoning_output"):
            tab.fill(f"[name=rates-0-{name}_nanos]", "400000000")
        tab.click("[name=_save]")
        tab.wait_for_selector("[name=_confirmed]")
    elif what == "impersonate":
        tab.click("text=Open dashboard as owner")
        tab.goto(tab.url.partition("/admin/")[0].removesuffix("/overview") + "/overview")
        tab.wait_for_selector(".impersonation")
    elif what == "endpoint":
        tab.fill("[name=url]", "https://8.8.8.8/hooks")
        tab.click("form .button-primary")
        tab.wait_for_selector("[data-secret]")
    elif what == "create":
        tab.fill("[name=name]", "Nightly evaluation")
        tab.click("form .button-primary")
        tab.wait_for_selector("[data-secret]")


if __name__ == "__main__":
    main()
