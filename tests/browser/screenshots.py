"""Every page as a picture: `python -m tests.browser.screenshots FOLDER [--only NAME]`.

Run it under the launcher, which brings the servers:
`python -m config.launcher exec --throwaway -- .venv/bin/python -m tests.browser.screenshots out`.
It migrates, plays the scenes into the database, serves the product on a free port and writes one
PNG per page, width, theme and language. It fails where a page does, or is wider than its window.
"""

import argparse
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Page as Tab

from config import serve
from tests import stripe_server
from tests.browser.acts import SAID, THOUGHT
from tests.browser.tour import LANGUAGES, THEMES, WIDTHS, Look, Page, Tour

START_SECONDS = 60
DOCS = Path(__file__).resolve().parents[2] / "docs" / "pages" / "en"
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"

PAGES = [
    Page("landing", "/"),
    Page("sign-in", "/accounts/login/"),
    Page("sign-up", "/accounts/signup/"),
    Page("reset", "/accounts/password/reset/"),
    Page("sign-in-wrong", "/accounts/login/", act="send"),
    Page("sign-up-wrong", "/accounts/signup/", act="send"),
    Page("sign-in-code", "/accounts/login/", act="second step", is_alone=True),
    Page("sign-out", "/accounts/logout/", "busy"),
    Page("inactive", "/accounts/inactive/"),
    Page("reset-sent", "/accounts/password/reset/done/"),
    Page("reset-new", "/accounts/password/reset/key/{reset}/"),
    Page("reset-old", "/accounts/password/reset/key/1-gone/"),
    Page("reset-done", "/accounts/password/reset/key/done/"),
    Page("confirm-sent", "/accounts/confirm-email/"),
    Page("confirm-address", "/accounts/confirm-email/{confirmation}/"),
    Page("confirm-old", "/accounts/confirm-email/gone/"),
    Page("docs", "/docs"),
    *(Page(f"docs-{path.stem}", f"/docs/{path.stem}") for path in sorted(DOCS.glob("*.md"))),
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
    Page("admin-bills", "/admin/billing/upstreambill/", "operator"),
    Page("admin-bill", "/admin/billing/upstreambill/{bill}/change/", "operator"),
    Page("admin-bill-new", "/admin/billing/upstreambill/add/", "operator"),
    Page("admin-cost", "/admin/providers/upstreamprice/add/", "operator"),
    Page("admin-log", "/admin/accounts/auditentry/", "operator"),
    Page("admin-find", "/admin/find/?q=acme", "operator"),
    Page("admin-tables", "/admin/tables/", "operator"),
    Page("admin-catalog-file", "/admin/catalog-file/", "operator"),
    Page("admin-suspend", "/admin/accounts/organization/{organization}/standing/", "operator"),
    Page("admin-history", "/admin/accounts/organization/{organization}/history/", "operator"),
    Page("admin-people", "/admin/accounts/user/", "operator"),
    Page("admin-keys", "/admin/accounts/apikey/", "operator"),
    Page("admin-key", "/admin/accounts/apikey/{key}/change/", "operator"),
    Page("admin-requests", "/admin/billing/usagerecord/", "operator"),
    Page("admin-payments", "/admin/billing/paymentorder/", "operator"),
    Page("admin-invoices", "/admin/billing/invoice/", "operator"),
    Page("admin-plans", "/admin/billing/plan/", "operator"),
    Page("admin-plan-new", "/admin/billing/plan/add/?organization={organization}", "operator"),
    Page("admin-models", "/admin/providers/model/", "operator"),
    Page("admin-model", "/admin/providers/model/{model}/change/", "operator"),
    Page("admin-prices", "/admin/providers/price/", "operator"),
    Page("admin-price-new", "/admin/providers/price/add/", "operator"),
    Page("admin-channel-new", "/admin/providers/channel/add/", "operator"),
    Page("admin-webhooks", "/admin/accounts/webhookdelivery/", "operator"),
    Page(
        "impersonation",
        "/admin/accounts/organization/{organization}/change/",
        "operator",
        act="impersonate",
        is_alone=True,
    ),
    Page("not-found", "/nothing-here"),
    Page("not-found-inside", "/keys/999999999", "busy"),
    Page("refused", "/billing/top-up", "developer"),
    Page("bad-request", "/paper/bad-request"),
    Page("forged", "/paper/forged"),
    Page("too-many", "/paper/too-many"),
    Page("broken", "/paper/broken"),
    Page("status-away", "/paper/status-away"),
    Page("mail-confirm", "/paper/mail-confirm"),
    Page("mail-reset", "/paper/mail-reset"),
    Page("mail-changed", "/paper/mail-changed"),
    Page("mail-sign-in", "/paper/mail-sign-in"),
    Page("mail-key", "/paper/mail-key"),
    Page("mail-deleted", "/paper/mail-deleted"),
    Page("mail-spend", "/paper/mail-spend"),
    Page("mail-failure", "/paper/mail-failure"),
    Page("mail-invoice", "/paper/mail-invoice"),
    Page("mail-fee", "/paper/mail-fee"),
    Page("welcome", "/accounts/signup/", act="sign up", is_alone=True),
    Page("welcome-again", "/welcome", "new"),
    Page("overview-new", "/overview", "new"),
    Page("usage-new", "/usage", "new"),
    Page("keys-new", "/keys", "new"),
    Page("requests-new", "/requests", "new"),
    Page("playground-new", "/playground", "new", full=False),
    Page("billing-history-new", "/billing/history", "new"),
    Page("billing-invoices-new", "/billing/invoices", "new"),
    Page("settings-projects-new", "/settings/projects", "new"),
    Page("overview-suspended", "/overview", "suspended"),
    Page("keys-suspended", "/keys", "suspended"),
    Page("usage-suspended", "/usage", "suspended"),
    Page("billing-suspended", "/billing", "suspended"),
    Page("settings-suspended", "/settings", "suspended"),
    Page("playground-suspended", "/playground", "suspended", full=False, act="refused"),
    Page("playground", "/playground?model=deepseek-reasoner", "busy", full=False, act="talk"),
    Page("playground-code", "/playground", "busy", full=False, act="code"),
    Page("overview", "/overview", "busy"),
    Page("overview-menu", "/overview", "busy", full=False, act="menu"),
    Page("overview-switch", "/overview", "busy", full=False, act="switch"),
    Page("overview-developer", "/overview", "developer"),
    Page("usage", "/usage", "busy"),
    Page("usage-hover", "/usage?show=tokens&by=key", "busy", full=False, act="chart"),
    Page("usage-compared", "/usage?period=7d&compare=1&by=member", "busy"),
    Page("usage-today", "/usage?period=today", "busy", full=False),
    Page("usage-tables", "/usage", "busy", act="tables"),
    Page("usage-narrowed", "/usage?model=nothing-like-it", "busy", full=False),
    Page("keys", "/keys", "busy"),
    Page("keys-none", "/keys?q=nothing-like-it", "busy", full=False),
    Page("key", "/keys/{key}", "busy"),
    Page("key-change", "/keys/{key}/change", "busy"),
    Page("key-rotate", "/keys/{key}/rotate", "busy", full=False),
    Page("key-new", "/keys/new", "busy", act="limits"),
    Page("key-new-wrong", "/keys/new", "busy", act="send"),
    Page("key-created", "/keys/new", "busy", act="create"),
    Page("key-revoke", "/keys/{key}/revoke", "busy"),
    Page("requests", "/requests", "busy"),
    Page("requests-none", "/requests?status=client&period=1h", "busy", full=False),
    Page("request", "/requests/{request}", "busy"),
    Page("request-failed", "/requests/{failed_request}", "busy"),
    Page("billing", "/billing", "busy"),
    Page("billing-new", "/billing", "new"),
    Page("billing-history", "/billing/history", "busy"),
    Page("billing-top-up", "/billing/top-up", "busy"),
    Page("billing-top-up-wrong", "/billing/top-up", "busy", act="too little"),
    Page("billing-bank", "/billing/top-up/{bank_order}", "busy"),
    Page("billing-card", "/billing/top-up/{card_order}", "busy"),
    Page("billing-paid", "/billing/top-up/{paid_order}", "busy"),
    Page("billing-redeem", "/billing/redeem", "busy"),
    Page("billing-redeem-wrong", "/billing/redeem", "busy", act="send"),
    Page("billing-cards", "/billing/payment", "busy"),
    Page("billing-cards-new", "/billing/payment", "new"),
    Page("billing-card-new", "/billing/payment/cards/new", "busy"),
    Page("billing-limits", "/billing/limits", "busy"),
    Page("billing-invoices", "/billing/invoices", "busy"),
    Page("billing-plans", "/billing/plans", "busy"),
    Page("billing-details", "/billing/details", "busy"),
    Page("plan", "/billing/plans/pro", "busy"),
    Page("invoice", "/billing/invoices/{invoice}", "busy"),
    Page("settings", "/settings", "busy"),
    Page("settings-members", "/settings/members", "busy"),
    Page("settings-members-new", "/settings/members", "new"),
    Page("settings-invite-wrong", "/settings/members", "busy", act="send"),
    Page("settings-members-developer", "/settings/members", "developer"),
    Page("settings-member", "/settings/members/{member}", "busy"),
    Page("settings-remove", "/settings/members/{member}/remove", "busy"),
    Page("settings-projects", "/settings/projects", "busy"),
    Page("settings-project", "/settings/projects/{project}", "busy"),
    Page("settings-project-new", "/settings/projects/new", "busy"),
    Page("settings-project-archived", "/settings/projects/{archived_project}", "busy"),
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
    Page("settings-invitation-other", "/invitations/picture", "new"),
    Page("settings-invitation-gone", "/invitations/gone"),
    Page("organization-new", "/organizations/new", "busy"),
    Page("account", "/account", "busy"),
    Page("account-email", "/account/email", "busy"),
    Page("account-password", "/account/password", "busy"),
    Page("account-two-factor", "/account/two-factor", "busy"),
    Page("account-two-factor-on", "/account/two-factor", "guarded"),
    Page("account-app-remove", "/account/two-factor/app/remove", "guarded", act="confirm"),
    Page("account-codes", "/account/two-factor/codes", "guarded", act="confirm"),
    Page("account-codes-new", "/account/two-factor/codes/new", "guarded", act="confirm"),
    Page("account-passkey-name", "/account/passkeys/{passkey}/name", "guarded", act="confirm"),
    Page("account-passkey-remove", "/account/passkeys/{passkey}/remove", "guarded", act="confirm"),
    Page("account-confirm-code", "/account/confirm/code", "guarded"),
    Page("account-confirm-passkey", "/account/confirm/passkey", "guarded"),
    Page("account-app", "/account/two-factor/app", "busy", act="confirm"),
    Page("account-passkey", "/account/passkeys/add", "busy", act="confirm"),
    Page("account-confirm", "/account/confirm", "new"),
    Page("account-data", "/account/data", "busy"),
    Page("account-delete", "/account/delete", "busy", act="confirm"),
    Page("account-sessions", "/account/sessions", "busy"),
    Page("account-gone", "/account/gone"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names that start with this, comma-separated")
    parser.add_argument("--widths", default=",".join(WIDTHS))
    parser.add_argument("--themes", default=",".join(THEMES))
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    chosen = parser.parse_args()
    names = tuple(chosen.only.split(","))
    pages = [page for page in PAGES if page.name.startswith(names)]
    looks = itertools.product(
        chosen.widths.split(","), chosen.themes.split(","), chosen.languages.split(",")
    )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    os.environ.setdefault("TTONK_EMAIL_VERIFICATION", "optional")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with stripe_server.running() as stripe:
        os.environ.update(stripe_server.environment(stripe))
        facts = prepare(stripe)
        with answering(), serving() as url:
            began = time.monotonic()
            tour = Tour(url, facts, Camera(chosen.folder).shoot)
            visits = list(itertools.product(pages, [Look(*look) for look in looks]))
            troubles = tour.walk(visits)
    print(f"{len(visits)} pictures in {time.monotonic() - began:.0f} s")
    sys.exit("\n".join(troubles) or None)


def prepare(stripe_url: str) -> dict[str, Any]:
    """Migrate, seed, and play the scenes in; returns whom to sign in as."""
    import django

    django.setup()
    from tests.browser import scenes

    scenes.migrate()
    return scenes.play(stripe_url)


@contextmanager
def answering() -> Iterator[None]:
    """A model behind every name, for the block's time: it always says the same."""
    from tests.browser import scenes
    from tests.scripts import Script
    from tests.upstream import ScriptedUpstream

    with ScriptedUpstream() as upstream:
        said = Script(text=SAID, reasoning=THOUGHT, chunks=60, gap_ms=15, first_token_ms=240)
        upstream.otherwise = lambda _body: said
        scenes.serve_by(upstream.base_url)
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


@dataclass(frozen=True)
class Camera:
    folder: Path

    def shoot(self, tab: Tab, page: Page, look: Look) -> None:
        width, height = WIDTHS[look.width]
        if page.full:  # a fixed bar belongs at the end of the picture
            whole = max(height, tab.evaluate("document.documentElement.scrollHeight"))
            tab.set_viewport_size({"width": width, "height": whole})
        tab.screenshot(path=self.folder / f"{page.name}-{look}.png")
        overflow = tab.evaluate(OVERFLOW)
        assert overflow <= 0, f"{overflow} px wider than its window"


if __name__ == "__main__":
    main()
