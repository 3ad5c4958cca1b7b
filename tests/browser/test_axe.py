"""Every page that a person can see, in every theme, width and language: axe finds nothing, nothing
is wider than its window, and the console stays empty.

The suite looks at each page twice, so that it is seen in every theme, width and language;
`make axe` looks at all eight combinations.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest
from django.urls import resolve
from playwright.sync_api import Page as Tab

from tests import stack as stacks
from tests import stripe_server
from tests.browser import scenes
from tests.browser.axe import Axe
from tests.browser.screenshots import OVERFLOW, PAGES
from tests.browser.tour import COVERING, EVERY, Look, Page, Tour
from tests.gateway.routes import routes
from tests.upstream import ScriptedUpstream

REDIS_NUMBER = 6  # of the tour's own product: the scenes would be in other tests' way
# What is no page, and why.
NO_PAGES = {
    "a file": {
        "account_export", "mfa_download_recovery_codes", "usage_csv", "requests_csv",
        "movements_csv", "invoice_csv", "invoice_xml", "invoice_pdf", "credit_note_xml",
        "credit_note_pdf", "docs_source", "llms", "llms_full",
    },
    "JSON": {"openapi", "status_json", "mfa_login_webauthn", "playground_key"},
    "only takes a form": {
        "organization_switch", "impersonation_end", "sessions_end", "member_invite",
        "invitation_resend", "invitation_revoke", "order_cancel", "automatic_off",
        "delivery_again", "endpoint_test", "endpoint_switch", "spend_cap",
        "method_remove", "alert_remove", "plan_change", "project_restore", "theme", "language",
        "webhook",
    },
    "a part of a page": {"requests_latest", "first_request", "playground_turn"},
    "leads elsewhere": {"mfa_list_webauthn", "/.well-known/change-password"},
    "reached by what is done on another": {"mfa_authenticate"},
    "shows only somebody without a password, whom no entrance makes": {"account_set_password"},
}  # fmt: skip
WITHOUT = ("/admin/", "/v1/")
SEEN = [page for page in PAGES if not page.path.startswith("/v1/")]
# Stock Django's own tables of rows, whose head has a cell for what only some rows show.
OF_STOCK_ADMIN = {"empty-table-header": {"enabled": False}}


@pytest.fixture(scope="module")
def tour_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """A product of its own with the scenes in it: its address, and the scenes' facts."""
    folder = tmp_path_factory.mktemp("tour")
    with ScriptedUpstream() as upstream, stripe_server.running() as stripe:
        changes = stripe_server.environment(stripe)
        name = f"ttonkapi_tour_{os.getpid()}"
        stack = stacks.build(name, REDIS_NUMBER, folder, None, **changes)
        facts = scenes.play_elsewhere(stack.environment, stripe, upstream.base_url)
        yield stack.base_url, facts
        stack.stop("gateway")


@pytest.mark.parametrize(
    "who", sorted({page.who for page in SEEN}), ids=lambda who: who or "nobody"
)
def test_everybody_can_use_every_page(tour_stack: tuple[str, dict[str, Any]], who: str) -> None:
    url, facts = tour_stack
    found: dict[str, list[str]] = {}
    axe = Axe()

    def look(tab: Tab, page: Page, look: Look) -> None:
        here = axe.violations(tab, OF_STOCK_ADMIN if page.path.startswith("/admin/") else {})
        overflow = tab.evaluate(OVERFLOW)
        if overflow > 0:
            here.append(f"{overflow} px wider than its window")
        for one in here:
            found.setdefault(one, []).append(f"{page.name} {look}")

    is_all = os.environ.get("LOOKS") == "all"
    visits = [
        (page, one)
        for number, page in enumerate(page for page in SEEN if page.who == who)
        for one in (EVERY if is_all else COVERING[number % len(COVERING)])
    ]
    troubles = Tour(url, facts, look).walk(visits)
    troubles += [f"{one}\n    {len(where)} times: {where[:4]}" for one, where in found.items()]
    assert not troubles, "\n".join(troubles)


def test_every_route_is_among_the_pages() -> None:
    """Whoever adds a page adds it to PAGES, or says here that it is none."""
    values = dict.fromkeys(_facts(), "1") | {"reset": "1-1"}
    seen = {
        resolve(page.path.partition("?")[0].format(**values)).view_name
        for page in SEEN
        if not page.path.startswith(("/paper/", "/nothing-here", *WITHOUT))
    }
    there = {route.name for route in routes() if not route.path.startswith(WITHOUT)}
    none = set[str]().union(*NO_PAGES.values())
    assert there - seen - none == set()
    assert none & seen == set()
    assert none <= there


def _facts() -> set[str]:
    parts = [part for page in PAGES for part in Formatter().parse(page.path)]
    return {name for _, name, _, _ in parts if name}
