"""Who gets what at every address of the site: one table, held against the running views.

To add a page, add its line to TABLE: the route's name (with its namespace; `*` and `?` match as in
a shell, the first line that fits counts), what GET answers to each of the seven people, and after a
bar what POST answers. Without the second half a POST must be answered as GET is, or with 405.
A cell is a status; `in` is the way to sign-in. Where the address holds the id of something, say in
`World.values` of what; where a POST needs a form to get anywhere, put it into `World.forms`.
A route without a line fails, and a wrong line is printed as it would be right.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts import keys, projects
from accounts.models import Invitation, Membership, Role, User
from accounts.webhooks import events
from billing.models import CreditNote, Invoice, Issuer, OrderState, PaymentOrder, SpendAlert
from providers import seed
from tests import factories, webhooks
from tests.gateway.routes import Route, routes

PEOPLE = ("owner", "admin", "developer", "billing", "viewer", "outsider", "anonymous")

TABLE = """
#                                    own adm dev bil vie out ano | the same people, for POST
admin:login                          403 403 403 403 403 403 in
account_login                        302 302 302 302 302 302 200
account_logout                       200 200 200 200 200 200 302 | 302 302 302 302 302 302 302
account_signup                       302 302 302 302 302 302 200
account_inactive                     200 200 200 200 200 200 200
mfa_authenticate                     302 302 302 302 302 302 in
mfa_login_webauthn                   302 302 302 302 302 302 in
account_email_verification_sent      200 200 200 200 200 200 200
account_confirm_email                200 200 200 200 200 200 200 | 404 404 404 404 404 404 404
account_reset_password               200 200 200 200 200 200 200
account_reset_password_done          200 200 200 200 200 200 200
account_reset_password_from_key_done 200 200 200 200 200 200 200
account_reset_password_from_key      200 200 200 200 200 200 200
account                              200 200 200 200 200 200 in
account_email                        200 200 200 200 200 200 in  | 302 302 302 302 302 302 in
account_change_password              200 200 200 200 200 200 in
account_set_password                 302 302 302 302 302 302 in
account_reauthenticate               200 200 200 200 200 200 in
mfa_reauthenticate*                  302 302 302 302 302 302 in
mfa_index                            200 200 200 200 200 200 in
mfa_activate_totp                    302 302 302 302 302 302 in
mfa_deactivate_totp                  404 404 404 404 404 404 in
mfa_view_recovery_codes              404 404 404 404 404 404 in
mfa_download_recovery_codes          404 404 404 404 404 404 in
mfa_generate_recovery_codes          302 302 302 302 302 302 in
mfa_list_webauthn                    302 302 302 302 302 302 302
mfa_*_webauthn                       302 302 302 302 302 302 in
sessions                             200 200 200 200 200 200 in
sessions_end                         405 405 405 405 405 405 405 | 302 302 302 302 302 302 in
account_data                         200 200 200 200 200 200 in
account_export                       405 405 405 405 405 405 405 | 200 200 200 200 200 200 in
account_delete                       302 302 302 302 302 302 in
account_gone                         200 200 200 200 200 200 200
/.well-known/change-password         302 302 302 302 302 302 302
admin:logout                         302 302 302 302 302 302 302
admin:*                              in  in  in  in  in  in  in
organization_switch                  405 405 405 405 405 405 405 | 302 302 302 302 302 404 in
impersonation_end                    405 405 405 405 405 405 405 | 302 302 302 302 302 302 in
organization_new                     302 302 302 302 302 302 in
settings                             200 200 200 200 200 200 in  | 302 302 403 403 403 302 in
organization_leave                   200 200 200 200 200 200 in  | 302 302 302 302 302 302 in
organization_hand_over               200 403 403 403 403 200 in  | 302 403 403 403 403 422 in
organization_delete                  200 403 403 403 403 200 in  | 302 403 403 403 403 422 in
members                              200 200 200 200 200 200 in
member_invite                        405 405 405 405 405 405 405 | 302 302 403 403 403 302 in
member                               200 200 403 403 403 404 in  | 302 302 403 403 403 404 in
member_remove                        200 200 403 403 403 404 in  | 302 302 403 403 403 404 in
invitation_*                         405 405 405 405 405 405 405 | 302 302 403 403 403 404 in
invitation                           200 200 200 200 200 200 200 | 403 403 403 403 403 403 in
projects                             200 200 200 200 200 200 in
project_new                          200 200 403 403 403 200 in  | 302 302 403 403 403 302 in
project_restore                      405 405 405 405 405 405 405 | 302 302 403 403 403 404 in
project_archive                      200 200 403 403 403 404 in  | 302 302 403 403 403 404 in
project                              200 200 403 403 403 404 in  | 302 302 403 403 403 404 in
audit_log                            200 200 403 403 403 200 in
webhooks                             200 200 200 403 403 200 in
endpoint_new                         200 200 200 403 403 200 in
endpoint_test                        405 405 405 405 405 405 405 | 302 302 302 403 403 404 in
endpoint_switch                      405 405 405 405 405 405 405 | 302 302 302 403 403 404 in
endpoint_change                      200 200 200 403 403 404 in  | 302 302 302 403 403 404 in
endpoint_rotate                      200 200 200 403 403 404 in
endpoint_delete                      200 200 200 403 403 404 in  | 302 302 302 403 403 404 in
endpoint                             200 200 200 403 403 404 in  | 405 405 405 405 405 405 405
delivery                             200 200 200 403 403 404 in  | 405 405 405 405 405 405 405
delivery_again                       405 405 405 405 405 405 405 | 302 302 302 403 403 404 in
overview                             200 200 200 200 200 200 in
usage                                200 200 200 200 200 200 in
usage_csv                            200 200 200 200 200 200 in  | 405 405 405 405 405 405 405
requests                             200 200 200 200 200 200 in
requests_csv                         200 200 200 200 200 200 in  | 405 405 405 405 405 405 405
requests_latest                      200 200 200 200 200 200 in  | 405 405 405 405 405 405 405
request                              200 200 200 200 200 404 in
billing                              200 200 200 200 200 200 in
movements                            200 200 200 200 200 200 in
movements_csv                        200 200 200 200 200 200 in
top_up                               200 200 403 200 403 200 in
order                                200 200 403 200 403 404 in
order_cancel                         405 405 405 405 405 405 405 | 302 302 403 302 403 404 in
redeem                               200 200 403 200 403 200 in
payment                              200 200 403 200 403 200 in
automatic_off                        405 405 405 405 405 405 405 | 302 302 403 302 403 302 in
method_new                           302 302 403 302 403 302 in
method_remove                        405 405 405 405 405 405 405 | 302 302 403 302 403 302 in
spend_limits                         200 200 403 200 403 200 in  | 422 422 403 422 403 422 in
spend_cap                            405 405 405 405 405 405 405 | 302 302 403 302 403 302 in
alert_remove                         405 405 405 405 405 405 405 | 302 302 403 302 403 404 in
billing_details                      200 200 403 200 403 200 in
invoices                             200 200 200 200 200 200 in
plans                                200 200 200 200 200 200 in
plan                                 200 200 403 200 403 200 in
plan_change                          405 405 405 405 405 405 405 | 302 302 403 302 403 302 in
invoice                              200 200 200 200 200 404 in
invoice_csv                          200 200 200 200 200 404 in  | 405 405 405 405 405 405 405
invoice_xml                          200 200 200 200 200 404 in  | 405 405 405 405 405 405 405
invoice_pdf                          200 200 200 200 200 404 in  | 405 405 405 405 405 405 405
credit_note_xml                      200 200 200 200 200 404 in  | 405 405 405 405 405 405 405
credit_note_pdf                      200 200 200 200 200 404 in  | 405 405 405 405 405 405 405
webhook                              405 405 405 405 405 405 405 | 404 404 404 404 404 404 404
home                                 302 302 302 302 302 302 200
openapi                              200 200 200 200 200 200 200
docs                                 200 200 200 200 200 200 200
docs_search                          200 200 200 200 200 200 200
docs_source                          200 200 200 200 200 200 200
docs_page                            200 200 200 200 200 200 200
llms                                 200 200 200 200 200 200 200
llms_full                            200 200 200 200 200 200 200
theme                                405 405 405 405 405 405 405 | 302 302 302 302 302 302 302
language                             405 405 405 405 405 405 405 | 302 302 302 302 302 302 302
models                               200 200 200 200 200 200 200
model                                200 200 200 200 200 200 200
status                               200 200 200 200 200 200 200
status_json                          200 200 200 200 200 200 200
playground                           200 200 200 200 200 200 in
playground_key                       405 405 405 405 405 405 405 | 200 200 200 403 403 404 in
playground_turn                      200 200 200 200 200 404 in
welcome                              200 200 200 200 200 200 in
first_request                        200 200 200 200 200 200 in
keys                                 200 200 200 200 200 200 in
key_new                              200 200 200 403 403 200 in  | 200 200 200 403 403 422 in
key                                  200 200 200 200 200 404 in
key_change                           200 200 200 403 403 404 in  | 302 302 302 403 403 404 in
key_rotate                           200 200 200 403 403 404 in
key_revoke                           200 200 200 403 403 404 in  | 302 302 302 403 403 404 in
"""


@dataclass(frozen=True)
class Line:
    name: str
    get: tuple[str, ...]
    post: tuple[str, ...]

    def __str__(self) -> str:
        halves = [" ".join(f"{cell:3}" for cell in half) for half in (self.get, self.post) if half]
        return f"{self.name:36} {' | '.join(halves)}".rstrip()


def _read(text: str) -> list[Line]:
    lines = []
    for row in text.strip().splitlines():
        if row.startswith("#"):
            continue
        name, _, cells = row.partition(" ")
        get, _, post = cells.partition("|")
        line = Line(name, tuple(get.split()), tuple(post.split()))
        assert len(line.get) == len(PEOPLE) and len(line.post) in (0, len(PEOPLE)), row
        lines.append(line)
    return lines


LINES = _read(TABLE)


def _line_of(route: Route) -> Line | None:
    return next((line for line in LINES if fnmatchcase(route.name, line.name)), None)


class World:
    """An organization with one member of each role and one thing of each kind, and charlie's."""

    def __init__(self) -> None:
        seed.plant({})
        self.cast = factories.cast()
        self.organization = self.cast.organization
        adam = factories.UserFactory.create(email="adam@example.com")
        factories.MembershipFactory.create(
            organization=self.organization, user=adam, role=Role.ADMIN
        )
        self.key = factories.key(self.organization).row
        self.record = factories.record(self.organization)
        self.invoice = Invoice.objects.create(
            number=1, organization=self.organization, month=timezone.now().date().replace(day=1),
            total_nanos=0, total_minor=0, issuer=Issuer.default(), finalized_at=timezone.now(),
            seller={"code": "INV", "country": "DE"}, buyer={"country": "DE"},
        )  # fmt: skip
        self.note = CreditNote.objects.create(
            number=1, issuer=self.invoice.issuer, invoice=self.invoice, reason="A mistake",
            total_minor=1, tax_minor=0, transfer_id=uuid.uuid4(),
        )  # fmt: skip
        self.alert = SpendAlert.objects.create(
            organization=self.organization, threshold_nanos=factories.USD
        )
        self.order = PaymentOrder.objects.create(
            organization=self.organization, reference="TT-TEST-0001", provider="bank",
            amount_minor=2_500, state=OrderState.CANCELED,
        )  # fmt: skip
        self.invitation = Invitation.objects.create(
            organization=self.organization, email="invited@example.com",
            digest=keys.digest("token"), expires_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
        self.project = projects.create(self.organization, "Second")
        self.endpoint = webhooks.endpoint(self.organization)
        self.delivery = events.emit_test(self.endpoint)
        cast = self.cast
        self.cookies = {
            person: _sign_in(user)
            for person, user in zip(
                PEOPLE,
                (cast.alice, adam, cast.bob, cast.bella, cast.victor, cast.charlie, None),
                strict=True,
            )
        }

    def values(self, name: str) -> dict[str, object]:
        """What stands in a route's address, by the name of its parameter."""
        return {
            "pk": self._pk(name),
            "reference": self.order.reference,
            "token": "token",
            "request_id": f"req_{self.record.pk.hex}",
            "number": self.invoice.number,
            "note": self.note.number,
            "name": "qwen-plus",
            "slug": "introduction" if name.startswith("docs") else "pro",
        }

    def _pk(self, name: str) -> int:
        """Of whatever the routes of this family are about."""
        family = name.partition("_")[0]
        return {
            "member": self.cast.organization.memberships.get(user=self.cast.bob).pk,
            "invitation": self.invitation.pk,
            "project": self.project.pk,
            "alert": self.alert.pk,
            "endpoint": self.endpoint.pk,
            "delivery": self.delivery.pk,
        }.get(family, self.key.pk)

    def form(self, name: str) -> dict[str, object]:
        """What is posted to a route, so that it goes through for those who may."""
        project = self.organization.projects.order_by("pk")[0]
        forms: dict[str, dict[str, object]] = {
            "key_new": {"name": "Another", "project": project.pk},
            "key_change": {"name": "Renamed"},
            "key_rotate": {"overlap": "24"},
            "playground_key": {"project": project.pk},
            "settings": {"name": "Another name"},
            "organization_hand_over": {"member": self._pk("member")},
            "organization_delete": {"name": self.organization.name, "leaves_balance": "on"},
            "member_invite": {"email": "new@example.com", "role": "viewer"},
            "member": {"role": "viewer"},
            "endpoint_new": {"url": webhooks.URL, "event_types": "key.created"},
            "endpoint_change": {"url": webhooks.URL, "event_types": "key.created"},
            "endpoint_rotate": {"overlap": "24"},
            "project_new": {"name": "Another"},
            "project": {"name": "Another"},
            "organization_switch": {"organization": self.organization.pk},
        }
        return forms.get(name, {})


def _sign_in(user: User | None) -> str:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client.cookies.output(header="", sep=";")


@pytest.fixture
def world(db: None, settings: Any) -> World:
    return World()


def test_every_route_has_its_line_in_the_table() -> None:
    missing = [route.name for route in routes() if _line_of(route) is None]
    assert missing == []


def test_no_line_of_the_table_is_left_over() -> None:
    used = {line.name for route in routes() if (line := _line_of(route))}
    assert [line.name for line in LINES if line.name not in used] == []


def test_everybody_gets_what_the_table_says(world: World) -> None:
    wrong: dict[str, str] = {}
    for route in routes():
        line = _line_of(route)
        if line is None:
            continue
        found = _ask_everybody(world, route)
        expected = line.post or tuple(
            "405" if cell == "405" else get for cell, get in zip(found.post, line.get, strict=True)
        )
        if found.get != line.get or found.post != expected:
            wrong[f"{route.name} {route.path}"] = str(found)
    assert "\n".join(wrong.values()) == "", "\n".join(wrong)


def test_the_cast_has_every_role(world: World) -> None:
    roles = Membership.objects.filter(organization=world.organization).values_list(
        "role", flat=True
    )
    assert sorted(roles) == sorted(Role.values)


def _ask_everybody(world: World, route: Route) -> Line:
    """The operator's pages are many and alike: there only the first and the last person ask."""
    path = route.fill(world.values(route.name))
    form = world.form(route.name)
    halves = []
    for method in ("GET", "POST"):
        if route.name.startswith("admin:"):
            first, last = (_ask(world, who, method, path, form) for who in (PEOPLE[0], PEOPLE[-1]))
            halves.append((first,) * (len(PEOPLE) - 1) + (last,))
        else:
            halves.append(tuple(_ask(world, who, method, path, form) for who in PEOPLE))
    return Line(route.name, *halves)


def _ask(world: World, person: str, method: str, path: str, form: dict[str, object]) -> str:
    """One answer as a cell. Whatever it changed is undone."""
    client = Client(raise_request_exception=False)
    client.cookies = SimpleCookie(world.cookies[person])
    with transaction.atomic():
        answer = client.post(path, form) if method == "POST" else client.get(path)
        transaction.set_rollback(True)
    cache.clear()  # nobody has used up a limit, and every session is as it was
    where = answer.headers.get("Location", "")
    if answer.status_code == 302 and where.startswith(("/accounts/login/", "/admin/login/")):
        return "in"
    return str(answer.status_code)
