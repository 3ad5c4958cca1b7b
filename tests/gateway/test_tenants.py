"""Every route, two tenants: what one organization does and sees is the same whether or not the
other exists, and nothing of the other changes.

Pages are compared with themselves: first in a world where the other organization does not exist,
then in one where it does, with lower and higher ids and a row in every table. Taking away any
filter by tenant shows in some page; `tests/faults/tenants.py` takes away each.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import mail
from accounts.models import Organization, User
from accounts.webhooks.models import WebhookDelivery
from billing import alerts, ids
from billing.models import Invoice, UsageDay, UsageHour, UsageRecord
from billing.templatetags.figures import money
from providers import seed
from tests import factories, webhooks
from tests.gateway.routes import addresses
from tests.gateway.wire import Wire, body_of

NOW = "2026-11-20T12:00:00+00:00"
# A stream is read here by a client that is not asynchronous.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
OTHERS_IDS = 500  # where the other organization's ids begin; ours are above
OUR_IDS = 10_000
_USAGE = ("overview", "usage", "usage.csv")
_CHANGING = re.compile(
    r'name="csrfmiddlewaretoken" value="[^"]*"|nonce="[^"]*"|ttonk_sk_\w{36}|[0-9a-f]{32}'
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


@dataclass
class World:
    """A busy organization, and an empty one of somebody who just came."""

    alice: User
    nora: User


def _add_other() -> Other:
    _count_from(OTHERS_IDS)
    charlie = factories.UserFactory.create(email="charlie@example.com")
    other = factories.OrganizationFactory.create(name="Charlie Secret", owner=charlie)
    factories.month_of_use(other, days=3, seed=11)
    other.api_keys.update(name="Charlie's key", prefix="ttonk_sk_Char", last_four="Char")
    other.projects.update(name="Charlie's project")
    tomorrow = timezone.now() + timedelta(days=1)
    other.invitations.create(email="dan@example.com", digest="d" * 64, expires_at=tomorrow)
    webhooks.endpoint(other, name="Charlie's hooks")
    webhooks.answer(other, "plan.changed", {"plan": "Charlie's"}, webhooks.TAKEN)
    # The newest request of all is theirs: ids begin with milliseconds.
    newest = uuid.UUID(int=ids.uuid7().int + (1_000 << 80))
    factories.record(other, id=newest, model="qwen-max")
    return Other(other)


@dataclass
class Other:
    organization: Organization

    def values(self) -> dict[str, list[str]]:
        """What its things are called in addresses."""
        record = UsageRecord.objects.filter(organization_id=self.organization.pk).first()
        invoice = Invoice.objects.get(organization=self.organization)
        of_its_endpoints = {"endpoint__organization": self.organization}
        assert record is not None
        return {
            "pk": [
                str(pk)
                for mine in (
                    self.organization.api_keys,
                    self.organization.invitations,
                    self.organization.memberships,
                    self.organization.projects,
                    self.organization.webhook_endpoints,
                )
                for pk in mine.values_list("pk", flat=True)
            ]
            + [str(one.pk) for one in WebhookDelivery.objects.filter(**of_its_endpoints)],
            "request_id": [f"req_{record.pk.hex}", str(record.pk)],
            "number": [str(invoice.number), str(invoice)],
            "note": ["1"],
            "slug": ["pro"],
            "token": ["others"],
            "object_id": [str(self.organization.pk)],
        }

    def form(self) -> dict[str, str]:
        """Every field a page asks for, filled with what is the other's."""
        project = self.organization.projects.get()
        key = self.organization.api_keys.first()
        assert key is not None
        return {
            "organization": str(self.organization.pk), "project": str(project.pk),
            "name": "A key", "pk": str(key.pk), "theme": "dark", "next": "/keys",
            "organization_id": str(self.organization.pk), "project_id": str(project.pk),
        }  # fmt: skip

    def state(self) -> list[Any]:
        """Every row that is its, as a digest by table."""
        pk = self.organization.pk
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name FROM information_schema.columns"
                " WHERE column_name = 'organization_id' AND table_schema = 'public' ORDER BY 1"
            )
            tables = [name for (name,) in cursor.fetchall()]
            assert len(tables) >= 8
            queries = [
                f"SELECT '{name}', count(*), md5(string_agg(t::text, ',' ORDER BY t::text))"
                f" FROM {name} t WHERE organization_id = {pk}"
                for name in tables
            ]
            queries.append(
                "SELECT 'deliveries', count(*), md5(string_agg(d::text, ',' ORDER BY d.id))"
                " FROM accounts_webhookdelivery d JOIN accounts_webhookendpoint e"
                f" ON e.id = d.endpoint_id WHERE e.organization_id = {pk}"
            )
            queries.append(
                "SELECT 'transfers', count(*), md5(string_agg(t::text, ',' ORDER BY t.id))"
                " FROM billing_transfer t JOIN billing_account a"
                f" ON a.id IN (t.debit_account_id, t.credit_account_id)"
                f" WHERE a.organization_id = {pk}"
            )
            cursor.execute(" UNION ALL ".join(queries))
            return cursor.fetchall()


@pytest.fixture
def catalog(db: None) -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        seed.plant({})
        _count_from(OUR_IDS)
        yield


@pytest.fixture
def world(catalog: None) -> World:
    return World(_busy(), _newcomer())


def _busy() -> User:
    alice = factories.UserFactory.create(email="alice@example.com")
    busy = factories.OrganizationFactory.create(name="Acme Robotics", owner=alice)
    factories.month_of_use(busy, days=3)
    _refer_to_others(busy)
    return alice


def _newcomer() -> User:
    nora = factories.UserFactory.create(email="nora@example.com")
    factories.OrganizationFactory.create(name="Nora Labs", owner=nora)
    return nora


def _refer_to_others(organization: Organization) -> None:
    """Rows of ours that name ids of the other's: no page may say what those are."""
    whose = {"project_id": OTHERS_IDS, "api_key_id": OTHERS_IDS}
    for table in (UsageDay, UsageHour):
        row = table.objects.filter(organization_id=organization.pk).first()
        assert row is not None
        table.objects.filter(pk=row.pk).update(**whose)
    factories.record(organization, started_at=timezone.now() + timedelta(seconds=1), **whose)


def _count_from(first: int) -> None:
    """Every table's next id, so that both worlds count alike."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setval(format('public.%%I', sequencename)::regclass, %s, false)"
            " FROM pg_sequences WHERE schemaname = 'public'",
            [first],
        )


def _ask(
    client: Client, method: str, path: str, form: dict[str, str], other: Other | None
) -> tuple[int, str, str]:
    """What one person gets for one request: status, where to, and the page. Whatever it changed
    is undone, and may be nothing of the other's."""
    before = other.state() if other else None
    cookies = client.cookies.output()
    with transaction.atomic():
        if method == "POST":
            _count_from(OUR_IDS * 2)
            answer = client.post(path, form)
            cache.clear()  # nobody has used up a page's limit, and the session is as it was
        else:
            answer = client.get(path)
        assert (other.state() if other else None) == before, (method, path)
        transaction.set_rollback(True)
    if client.cookies.output() != cookies:
        client.cookies.load(cookies.replace("Set-Cookie: ", ""))
    body = _body(answer)
    if "data-secret>" in body:  # a new key, which is another one each time
        body = re.sub(r"…\w{4}\b|ttonk_sk_\w+", "…", body)
    where = answer.headers.get("Location", "")
    return answer.status_code, _CHANGING.sub("…", where), _CHANGING.sub("…", body)


def _body(answer: Any) -> str:
    whole: bytes = b"".join(answer) if answer.streaming else answer.content
    return whole.decode(errors="replace")


def _ask_all(
    user: User | None, paths: list[str], form: dict[str, str], other: Other | None
) -> list[tuple[str, str, tuple[int, str, str]]]:
    client = _browser(user)
    return [
        (method, _CHANGING.sub("…", path), _ask(client, method, path, form, other))
        for path in paths
        for method in (("GET", "POST") if user else ("GET",))
    ]


def _browser(user: User | None) -> Client:
    cache.clear()
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def _own_paths(values: dict[str, list[str]]) -> list[str]:
    """Our own pages: the administration and the account pages have tests below."""
    ours = UsageRecord.objects.filter(api_key_id=OTHERS_IDS, project_id=OTHERS_IDS)
    queries = [f"/requests/{record.pk}" for record in ours.filter(organization_id__gte=OUR_IDS)]
    groups = ("model", "project", "key", "member")
    queries += [f"/{page}?by={group}&period=30d" for group in groups for page in _USAGE]
    key = values["pk"][0]
    narrowed = (f"key={key}", f"project={OTHERS_IDS}", f"member={OTHERS_IDS}", "status=error")
    queries += [f"{page}?{one}" for page in ("/usage", "/requests", "/keys") for one in narrowed]
    queries += ["/keys?state=all&q=Char", f"/requests.csv?key={key}", "/overview?by=key"]
    queries += [f"/requests?q={values['request_id'][0]}", "/requests?before=" + "f" * 32]
    return addresses(values, without=("/admin/", "/accounts/")) + queries


@pytest.mark.parametrize("make", [_busy, _newcomer, lambda: None], ids=["busy", "new", "nobody"])
def test_no_page_tells_whether_another_organization_exists(
    catalog: None, make: Callable[[], User | None]
) -> None:
    user = make()  # alone in the world, at first
    with transaction.atomic():
        other = _add_other()
        paths, form = _own_paths(other.values()), other.form()
        transaction.set_rollback(True)
    alone = _ask_all(user, paths, form, None)
    assert {answer[0] for *_, answer in alone} >= ({200, 302, 404, 405} if user else {200, 302})
    assert not [name for *name, answer in alone if answer[0] >= 500]
    other = _add_other()
    beside = _ask_all(user, _own_paths(other.values()), form, other)
    assert [now[:2] for was, now in zip(alone, beside, strict=True) if was != now] == []


def test_no_method_changes_what_is_anothers(world: World) -> None:
    other = _add_other()
    before = other.state()
    client = _browser(world.alice)
    for path in _own_paths(other.values()):
        for method in ("PUT", "PATCH", "DELETE"):
            answer = client.generic(method, path)
            assert answer.status_code < 500, (method, path)
            assert b"Charlie" not in b"".join(answer)
    assert other.state() == before


def test_what_a_page_shows_is_its_own_organizations(world: World) -> None:
    _add_other()
    for user in (world.alice, world.nora):
        client = _browser(user)
        organization = Organization.objects.get(memberships__user=user)
        page = client.get("/overview").content.decode()
        assert organization.name in page
        assert money(organization.wallet.balance_nanos) in page
        assert organization.name in client.get("/billing").content.decode()
        keys = client.get("/keys").content.decode()
        assert money(organization.wallet.balance_nanos) in keys
        assert all(key.name in keys for key in organization.api_keys.all())


def test_a_member_of_two_organizations_sees_the_chosen_one_alone(world: World) -> None:
    other = _add_other()
    factories.MembershipFactory.create(organization=other.organization, user=world.nora)
    client = _browser(world.nora)
    paths = _own_paths(other.values())
    client.post("/organizations/switch", {"organization": other.organization.pk})
    assert "Charlie" in client.get("/overview").content.decode()
    mine = Organization.objects.get(name="Nora Labs")
    client.post("/organizations/switch", {"organization": mine.pk})
    for path in paths:
        text = _body(client.get(path)).replace("Charlie Secret", "", 1)
        assert "Support bot" not in text, path


def test_account_and_administration_pages_show_strangers_nothing(world: World) -> None:
    other = _add_other()
    before = other.state()
    paths = addresses(other.values())
    assert len(paths) > 60
    clients = _browser(world.alice), _browser(None)
    for path in paths:
        if not path.startswith(("/admin/", "/accounts/")):
            continue
        for client in clients:
            answer = client.get(path)
            assert answer.status_code < 500, path
            assert b"Charlie" not in answer.content
            if path.startswith("/admin/") and "/login" not in path:
                assert answer.status_code in (302, 404), path
    assert other.state() == before


def test_a_low_balance_is_mailed_to_the_organizations_own_people(
    world: World, mailoutbox: list[EmailMessage], settings: Any
) -> None:
    _add_other()
    settings.LOW_BALANCE_NANOS = 1_000 * factories.USD
    alerts.mail_low_balances()
    mail.deliver()
    own = {"alice": "Acme Robotics", "nora": "Nora Labs", "charlie": "Charlie Secret"}
    assert len(mailoutbox) == len(own)
    for message in mailoutbox:
        (recipient,) = message.to
        assert own[recipient.partition("@")[0]] in message.body


def test_a_key_works_for_its_own_organization_whatever_a_request_claims(wire: Wire) -> None:
    theirs = {"OpenAI-Organization": "1", "OpenAI-Project": "1", "X-Organization-Id": "1"}
    answer = wire.http.post(
        "/v1/chat/completions?organization=1&project_id=1",
        json=body_of("hello", organization=1, organization_id=1, project=1, wallet_id=1),
        headers={**wire.headers(), **theirs},
    )
    record = wire.record(answer.headers["x-request-id"])
    plain = wire.record(wire.chat().headers["x-request-id"])
    whose = ("organization_id", "project_id", "api_key_id")
    assert [record[name] for name in whose] == [plain[name] for name in whose]
    poor = wire.chat(key=wire.customer.key_of_the_poor)
    assert poor.status_code == 402
