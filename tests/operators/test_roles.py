"""Every operator's page by everybody who might open it: one table, held against the running views.

A line is the page (its route without `admin:`; `*` matches as in a shell, the first line that fits
counts), what GET answers to each of the eight people, and after a bar what POST answers. A cell is
a status; `in` is the way to sign-in, `.` what GET answers. A route without a line fails, and a
wrong line is printed as it would be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.cookies import SimpleCookie

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from gateway import roles
from tests.gateway.routes import Route, routes
from tests.operators.people import PEOPLE, Desk, gather

TABLE = """
#                                 sup fin spt cat ro  stf own ano | the same people, for POST
index                             200 200 200 200 200 200 in  in
find                              200 200 200 200 200 200 in  in
tables                            200 200 200 200 200 200 in  in
app_list                          200 200 200 200 200 404 in  in
login                             302 302 302 302 302 302 403 in  | 200 200 200 200 200 200 403 in
logout                            405 405 405 405 405 405 302 302 | 302 302 302 302 302 302 302 302
password_change                   302 302 302 302 302 302 in  in
password_change_done              200 200 200 200 200 200 in  in  | 405 405 405 405 405 405 in  in
jsi18n                            200 200 200 200 200 200 in  in  | 405 405 405 405 405 405 in  in
autocomplete                      403 403 403 403 403 403 in  in  | 405 405 405 405 405 405 in  in
view_on_site                      404 404 404 404 404 404 in  in
catalog_file                      200 200 200 200 200 403 in  in  | 200 403 403 200 403 403 in  in
auth_group_*                      200 403 403 403 403 403 in  in
auth_user_password_change         200 403 403 403 403 403 in  in
accounts_user_add                 200 403 403 403 403 403 in  in
accounts_user_unlock              200 403 403 403 403 403 in  in  | 302 403 403 403 403 403 in  in
accounts_user_change              200 200 200 200 200 403 in  in  | 200 403 403 403 403 403 in  in
accounts_invitation_delete        200 403 200 403 403 403 in  in
accounts_organization_standing    200 403 200 403 403 403 in  in  | 302 403 302 403 403 403 in  in
accounts_organization_impersonate 405 403 405 403 403 403 in  in  | 302 403 302 403 403 403 in  in
accounts_organization_adjust      200 200 403 403 403 403 in  in
accounts_organization_plan        200 200 403 403 403 403 in  in
accounts_organization_change      200 200 200 200 200 403 in  in  | 200 403 200 403 403 403 in  in
accounts_membership_change        200 200 200 200 200 403 in  in  | 200 403 200 403 403 403 in  in
accounts_project_change           200 200 200 200 200 403 in  in  | 200 403 200 403 403 403 in  in
accounts_apikey_change            200 200 200 200 200 403 in  in  | 200 403 200 403 403 403 in  in
billing_adjustmentrequest_change  200 200 200 200 200 403 in  in  | 302 302 403 403 403 403 in  in
billing_adjustmentrequest_decide  405 405 403 403 403 403 in  in  | 302 302 403 403 403 403 in  in
billing_subscription_change       200 200 200 200 200 403 in  in  | 302 302 403 403 403 403 in  in
billing_redeemcode_make           200 200 403 403 403 403 in  in
billing_paymentorder_refund       200 200 403 403 403 403 in  in
billing_paymentorder_confirm      200 200 403 403 403 403 in  in
billing_paymentorder_give_up      200 200 403 403 403 403 in  in  | 302 302 403 403 403 403 in  in
billing_paymentevent_retry        200 200 403 403 403 403 in  in  | 302 302 403 403 403 403 in  in
billing_paymentevent_dismiss      200 200 403 403 403 403 in  in  | 302 302 403 403 403 403 in  in
billing_invoice_give_back         200 200 403 403 403 403 in  in
billing_invoice_verify            302 302 403 403 403 403 in  in
billing_upstreambill_add          200 200 403 403 403 403 in  in
billing_upstreambill_accept       405 405 403 403 403 403 in  in  | 302 302 403 403 403 403 in  in
billing_upstreambill_change       200 200 200 200 200 403 in  in
billing_plan_add                  200 200 403 403 403 403 in  in
billing_plan_change               200 200 200 200 200 403 in  in  | 200 200 403 403 403 403 in  in
billing_issuer_add                200 200 403 403 403 403 in  in
billing_issuer_change             200 200 200 200 200 403 in  in  | 200 200 403 403 403 403 in  in
billing_taxrule_add               200 200 403 403 403 403 in  in
billing_taxrule_change            200 200 200 200 200 403 in  in  | 200 200 403 403 403 403 in  in
billing_taxrule_delete            200 200 403 403 403 403 in  in
providers_channel_try             405 403 403 405 403 403 in  in  | 302 403 403 302 403 403 in  in
providers_channel_switch          405 403 403 405 403 403 in  in  | 302 403 403 302 403 403 in  in
providers_price_cancel            200 403 403 200 403 403 in  in  | 302 403 403 302 403 403 in  in
providers_price_add               200 403 403 200 403 403 in  in
providers_upstreamprice_add       200 403 403 200 403 403 in  in
providers_model_add               200 403 403 200 403 403 in  in
providers_model_change            200 200 200 200 200 403 in  in  | 200 403 403 200 403 403 in  in
providers_channel_add             200 403 403 200 403 403 in  in
providers_channel_change          200 200 200 200 200 403 in  in  | 200 403 403 200 403 403 in  in
providers_provider_add            200 403 403 200 403 403 in  in
providers_provider_delete         200 403 403 200 403 403 in  in
providers_provider_change         200 200 200 200 200 403 in  in  | 200 403 403 200 403 403 in  in
accounts_audithead_add            403 403 403 403 403 403 in  in
accounts_audithead_delete         403 403 403 403 403 403 in  in
accounts_audithead_change         200 403 403 403 403 403 in  in  | 403 403 403 403 403 403 in  in
accounts_audithead_*              200 403 403 403 403 403 in  in
billing_idempotencykey_add        403 403 403 403 403 403 in  in
billing_idempotencykey_delete     403 403 403 403 403 403 in  in
billing_idempotencykey_change     200 403 403 403 403 403 in  in  | 403 403 403 403 403 403 in  in
billing_idempotencykey_*          200 403 403 403 403 403 in  in
billing_costday_margin            200 200 200 200 200 403 in  in
billing_costday_csv               404 404 404 404 404 403 in  in
*_export                          200 200 200 200 200 403 in  in
*_changelist                      200 200 200 200 200 403 in  in
*_history                         200 200 200 200 200 403 in  in
*_add                             403 403 403 403 403 403 in  in
*_delete                          403 403 403 403 403 403 in  in
*_change                          200 200 200 200 200 403 in  in  | 403 403 403 403 403 403 in  in
"""


@dataclass(frozen=True)
class Line:
    name: str
    get: tuple[str, ...]
    post: tuple[str, ...]

    def __str__(self) -> str:
        halves = [" ".join(f"{cell:3}" for cell in half) for half in (self.get, self.post)]
        return f"{self.name:33} {' | '.join(halves)}".rstrip()


def _read(text: str) -> list[Line]:
    lines = []
    for row in text.strip().splitlines():
        if row.startswith("#"):
            continue
        name, _, cells = row.partition(" ")
        get, _, post = cells.partition("|")
        answers = tuple(get.split())
        line = Line(name, answers, tuple(post.split()) or answers)
        assert len(line.get) == len(line.post) == len(PEOPLE), row
        lines.append(line)
    return lines


LINES = _read(TABLE)


def _pages() -> list[Route]:
    found = [route for route in routes() if route.name.startswith("admin:")]
    # Redirects of old addresses to the page of the object.
    return [route for route in found if not route.name.startswith("admin:/")]


def _name(route: Route) -> str:
    return route.name.removeprefix("admin:")


def _line_of(route: Route) -> Line | None:
    return next((line for line in LINES if fnmatchcase(_name(route), line.name)), None)


def _path(desk: Desk, route: Route) -> str:
    app, _, rest = _name(route).partition("_")
    model = rest.partition("_")[0]
    app = "accounts" if (app, model) == ("auth", "user") else app
    known = {(one._meta.app_label, one._meta.model_name) for one in apps.get_models()}
    pk = desk.pk(f"{app}.{model}") if (app, model) in known else 1
    return route.fill({"object_id": pk, "id": pk, "content_type_id": 1, "app_label": "billing"})


def _ask(cookies: str, method: str, path: str) -> str:
    """One answer as a cell. Whatever it changed is undone."""
    client = Client(raise_request_exception=False)
    client.cookies = SimpleCookie(cookies)
    with transaction.atomic():
        answer = client.post(path) if method == "POST" else client.get(path)
        transaction.set_rollback(True)
    cache.clear()
    where = answer.headers.get("Location", "")
    if answer.status_code == 302 and where.startswith(("/accounts/login/", "/admin/login/")):
        return "in"
    return str(answer.status_code)


@pytest.fixture
def desk(db: None) -> Desk:
    return gather()


# The pages are many: each part of them is a test that may run beside the others.
PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
def test_every_operators_page_answers_everybody_as_the_table_says(desk: Desk, part: int) -> None:
    cookies = {
        who: client.cookies.output(header="", sep=";") for who, client in desk.clients.items()
    }
    wrong = []
    for route in _pages()[part::PARTS]:
        path = _path(desk, route)
        get, post = (
            tuple(_ask(cookies[who], method, path) for who in PEOPLE) for method in ("GET", "POST")
        )
        line = _line_of(route)
        if line is None or (line.get, line.post) != (get, post):
            wrong.append(str(Line(_name(route), get, post)))
    assert "\n".join(wrong) == "", "\n".join(wrong)


def test_no_line_of_the_table_is_left_over() -> None:
    used = {line.name for route in _pages() if (line := _line_of(route))}
    assert [line.name for line in LINES if line.name not in used] == []


def test_roles_are_made_once_and_set_right_again(db: None) -> None:
    first = roles.make()
    finance = Group.objects.get(name="Finance")
    finance.permissions.clear()
    assert roles.make() == first
    assert Group.objects.count() == len(roles.ROLES)
    held = {f"{one.content_type.app_label}.{one.codename}" for one in finance.permissions.all()}
    assert {"billing.add_creditnote", "billing.change_paymentorder"} <= held
    assert not {"accounts.change_user", "providers.change_channel", "auth.change_group"} & held


def test_nobody_but_a_superuser_makes_operators() -> None:
    for role in roles.ROLES:
        for permission in ("accounts.change_user", "accounts.add_user", "auth.change_group"):
            assert not role.has(permission), (role.name, permission)
