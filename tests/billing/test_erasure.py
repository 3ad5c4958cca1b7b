"""Data rights: everything goes out, everything personal goes away, and the books still prove."""

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts import audit, impersonation, mail, users
from accounts.models import ApiKey, AuditEntry, Organization, User
from accounts.webhooks.models import WebhookEvent
from billing import closing, erasure, invoices, ledger, proof, subscriptions
from billing.models import (
    Account,
    AutoTopUp,
    BillingDetails,
    Invoice,
    PaymentCustomer,
    Plan,
    Transfer,
    TransferKind,
)
from billing.payments import automatic, customers, gateways, orders
from billing.payments.gateway import Unavailable
from tests import factories, webhooks
from tests.billing import scenes
from tests.billing.payments import till

pytestmark = pytest.mark.django_db

USD = scenes.USD
EMAIL, NAME, ADDRESS = "charlie@example.com", "Charlotte Quill", "203.0.113.77"
COMPANY, STREET = "Quill & Daughters", "17 Lavender Row"
CARD = "Visa …4242"


@pytest.fixture
def cast(settings) -> factories.Cast:
    cache.clear()
    settings.PAYMENT_GATEWAYS = {"fake": "tests.billing.payments.till.FakeGateway"}
    till.FakeGateway.reset()
    made = factories.cast()
    User.objects.filter(pk=made.charlie.pk).update(name=NAME)
    made.charlie.refresh_from_db()
    return made


def dump() -> str:
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        rows = []
        for table in tables:
            cursor.execute(f'SELECT %s || t::text FROM "{table}" t', [f"{table}: "])
            rows += [text for (text,) in cursor.fetchall()]
    return "\n".join(rows)


def lines_with(*words: str) -> list[str]:
    """What the database still says of them, whatever the case."""
    return [
        line for line in dump().splitlines() if any(one.lower() in line.lower() for one in words)
    ]


def lead_a_life(cast: factories.Cast) -> Client:
    """Charlie signs in and leaves traces wherever a page leaves any."""
    users.verify(cast.charlie)
    client = Client(REMOTE_ADDR=ADDRESS)
    client.post("/accounts/login/", {"login": EMAIL, "password": factories.PASSWORD})
    for page, form in (
        ("/settings/members/invite", {"email": "dora@example.com", "role": "viewer"}),
        ("/settings", {"name": f"{NAME} Studio"}),
        ("/settings/webhooks/new", {"url": f"{webhooks.URL}/quill", "description": NAME,
                                    "event_types": ["key.created"]}),
        ("/keys/new", {"name": f"laptop of {EMAIL}",
                       "project": cast.outside.projects.get().pk,
                       "allowed_addresses": ADDRESS}),
        ("/billing/details", {"company": COMPANY, "line_1": STREET, "city": "Leeds",
                              "country": "GB"}),
    ):  # fmt: skip
        answer = client.post(page, form)
        assert answer.status_code in (200, 302), (page, answer.status_code)
    mail.deliver()
    return client


def pay(organization: Organization) -> None:
    """A top-up, a card that pays by itself, a plan, and an invoice of October."""
    gateway = gateways.get("fake")
    orders.place(organization, gateway, 2_500, by=organization.members.get())
    customers.find_or_create(organization, gateway)
    automatic.configure(
        organization, threshold_nanos=1, amount_minor=500, cap_minor=500, provider="fake",
        method_id="pm_1", method_label=CARD,
    )  # fmt: skip
    wallet = Account.objects.get(organization=organization)
    ledger.credit(wallet, 30 * USD, kind=TransferKind.TOP_UP, reason="B-17")
    record = scenes.use(organization)
    scenes.charge_at(record, datetime(2026, 10, 15, tzinfo=UTC))
    invoices.close_month(datetime(2026, 10, 1, tzinfo=UTC).date(), organization)
    subscriptions.change_plan(organization, Plan.objects.get(slug="pro"))
    mail.deliver()


def operators_touch(cast: factories.Cast) -> None:
    """An operator edits the person and the organization, and opens their dashboard."""
    olga = User.objects.create_superuser("olga@example.com", "secret")
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.force_login(olga)
    url = reverse("admin:accounts_user_change", args=[cast.charlie.pk])
    facts = {"email": EMAIL, "name": NAME, "is_active": "on"}
    assert client.post(url, facts | {"name": f"{NAME} "}).status_code == 302
    assert client.post(url, facts | {"is_active": ""}).status_code == 302
    assert client.post(url, facts).status_code == 302
    begin = reverse("admin:accounts_organization_impersonate", args=[cast.outside.pk])
    client.post(begin)
    assert impersonation.owner_of(cast.outside) is not None


def assert_proven() -> None:
    assert [(one.name, one.first) for one in proof.prove() if not one.is_ok] == []
    verdict = audit.verify()
    assert verdict.is_whole, verdict.troubles
    for invoice in Invoice.objects.all():
        assert invoices.verify_invoice(invoice) == []


def test_nothing_in_the_database_says_who_an_erased_person_was(cast, mailoutbox) -> None:
    factories.MembershipFactory.create(organization=cast.organization, user=cast.charlie)
    webhooks.endpoint(cast.organization)
    factories.key(cast.organization, f"{EMAIL} laptop", created_by=cast.charlie)
    theirs = WebhookEvent.objects.get(organization=cast.organization, body__contains=EMAIL)
    assert theirs.deliveries.exists()
    lead_a_life(cast)
    operators_touch(cast)
    pay(cast.outside)
    before = {word: len(lines_with(word)) for word in (EMAIL, NAME, ADDRESS, STREET, CARD)}
    assert all(before.values()), before
    booked = list(Transfer.objects.order_by("pk").values_list("pk", "amount_nanos", "state"))
    sequences = list(AuditEntry.objects.order_by("pk").values_list("sequence", "action", "hash"))

    out = StringIO()
    call_command("erase_user", EMAIL, "--yes", "--json", stdout=out)
    assert json.loads(out.getvalue())["organizations_erased"] == [cast.outside.pk]
    mail.deliver()

    kept = lines_with(EMAIL, NAME, ADDRESS, STREET, COMPANY, CARD, "lavender", "quill")
    # The law's: the invoice keeps whom it was made out to.
    assert [line.partition(":")[0] for line in kept] == ["billing_invoice"]
    assert [one.to for one in mailoutbox][-1] == [EMAIL]
    after = list(Transfer.objects.order_by("pk").values_list("pk", "amount_nanos", "state"))
    assert after == booked
    entries = AuditEntry.objects.order_by("pk").values_list("sequence", "action", "hash")
    assert list(entries)[: len(sequences)] == sequences
    assert AuditEntry.objects.filter(actor_email=f"user-{cast.charlie.pk}").exists()
    assert_proven()


def test_an_erased_organizations_keys_stop_and_its_books_stay(cast) -> None:
    lead_a_life(cast)
    pay(cast.outside)
    key = factories.key(cast.outside)
    wallet = Account.objects.get(organization=cast.outside)
    balance = wallet.balance_nanos
    with pytest.raises(CommandError, match="USD are left"):
        call_command("erase_organization", cast.outside.slug, "--yes")
    assert ApiKey.objects.get(pk=key.row.pk).is_live
    call_command("erase_organization", cast.outside.slug, "--yes", "--leave-balance",
                 stdout=StringIO())  # fmt: skip
    organization = Organization.objects.get(pk=cast.outside.pk)
    assert (organization.name, organization.slug) == (
        f"Erased organization {organization.pk}", f"erased-{organization.pk}",
    )  # fmt: skip
    assert not ApiKey.objects.live().filter(organization=organization).exists()
    assert not BillingDetails.objects.exists() and not AutoTopUp.objects.exists()
    wallet.refresh_from_db()
    assert wallet.balance_nanos == balance
    kept = lines_with(COMPANY, STREET, CARD, f"{NAME} Studio", "charlie-s")
    assert [line.partition(":")[0] for line in kept] == ["billing_invoice"]
    # The person is still there, under their own name.
    assert User.objects.get(email=EMAIL).name == NAME
    erased = AuditEntry.objects.get(action="organization.erased")
    assert (erased.organization_id, erased.is_operator) == (organization.pk, True)
    assert_proven()
    erasure.erase(organization)
    assert AuditEntry.objects.filter(action="organization.erased").count() == 1


def test_others_keep_what_is_theirs(cast) -> None:
    lead_a_life(cast)
    alice = Client(REMOTE_ADDR="198.51.100.9")
    alice.force_login(cast.alice)
    alice.post("/settings/members/invite", {"email": "erin@example.com", "role": "viewer"})
    untouched = list(AuditEntry.objects.filter(organization=cast.organization).values())
    erasure.erase(cast.outside, leaves_balance=True)
    call_command("erase_user", EMAIL, "--yes", stdout=StringIO())
    assert list(AuditEntry.objects.filter(organization=cast.organization).values()) == untouched
    assert lines_with("198.51.100.9")
    assert_proven()


def test_without_a_yes_nothing_is_erased(cast) -> None:
    out = StringIO()
    call_command("erase_user", EMAIL, "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["is_erased"], told["organizations_erased"]) == (False, [cast.outside.pk])
    call_command("erase_organization", cast.outside.slug, stdout=StringIO())
    assert User.objects.filter(email=EMAIL).exists()
    assert Organization.objects.get(pk=cast.outside.pk).deleted_at is None


def test_an_owner_whom_others_need_and_an_operator_are_not_erased(cast) -> None:
    with pytest.raises(CommandError, match="another owner: acme-robotics"):
        call_command("erase_user", "alice@example.com", "--yes")
    User.objects.create_superuser("root@example.com", "secret")
    with pytest.raises(CommandError, match="an operator"):
        call_command("erase_user", "root@example.com", "--yes")
    with pytest.raises(CommandError, match="no user"):
        call_command("erase_user", "nobody@example.com", "--yes")


@pytest.mark.parametrize(
    "change", ["target = 'x'", "actor_email = 'mallory@example.com'", "details = '{\"a\": 1}'"]
)
def test_an_entry_edited_after_or_instead_of_an_erasure_is_found(cast, change: str) -> None:
    lead_a_life(cast)
    erasure.erase(cast.outside, leaves_balance=True)
    assert audit.verify().is_whole
    entry = AuditEntry.objects.filter(organization=cast.outside).exclude(erasure_hash="")[0]
    # Not even the guard has to be off for it: the database lets an erasure pass, and only that.
    scenes.execute(f"UPDATE accounts_auditentry SET {change} WHERE id = %s", entry.pk)
    assert any("it was edited" in one for one in audit.verify().troubles)
    other = AuditEntry.objects.filter(organization=cast.organization)[0]
    scenes.execute(
        f"UPDATE accounts_auditentry SET {change}, erasure_hash = hash WHERE id = %s", other.pk
    )
    troubles = [one for one in audit.verify().troubles if f"chain {cast.organization.pk}" in one]
    assert any("it was edited" in one for one in troubles)


@pytest.mark.parametrize(
    "change",
    ["action = 'x'", "sequence = 99", "hash = 'x'", "created_at = now()", "actor_id = 0"],
)
def test_an_erasure_changes_nothing_of_what_was_done(cast, change: str) -> None:
    with pytest.raises(Exception, match="refused"):
        scenes.execute(f"UPDATE accounts_auditentry SET {change}, erasure_hash = 'x'")


def test_the_provider_forgets_the_customer_and_is_asked_until_it_has(cast) -> None:
    customers.find_or_create(cast.outside, gateways.get("fake"))
    customers.find_or_create(cast.organization, gateways.get("fake"))
    assert erasure.forget_customers() == 0
    erasure.erase(cast.outside, leaves_balance=True)
    till.FakeGateway.trouble = [Unavailable("away")]
    assert erasure.forget_customers() == 0
    assert erasure.forget_customers() == 1
    asked = [one for one in till.FakeGateway.calls if one[0] == "forget_customer"]
    assert asked == [("forget_customer", f"cus_{cast.outside.pk}")] * 2
    assert PaymentCustomer.objects.get().organization == cast.organization


def test_a_deleted_organization_is_erased_later(cast) -> None:
    lead_a_life(cast)
    closing.close(cast.outside, leaves_balance=True)
    assert lines_with(STREET)
    erasure.erase(cast.outside)
    assert not lines_with(STREET, f"{NAME} Studio")
    assert_proven()


def test_an_organization_exports_all_of_its_own_and_nothing_of_others(cast) -> None:
    with time_machine.travel(datetime(2026, 11, 20, tzinfo=UTC)):
        lead_a_life(cast)
        pay(cast.outside)
        operators_touch(cast)
        made = factories.key(cast.outside, "Deploy")
        factories.key(cast.organization, "Alice's key")
        out = StringIO()
        call_command("export_organization", str(cast.outside.pk), stdout=out)
    found = json.loads(out.getvalue())
    assert found["organization"]["name"] == f"{NAME} Studio"
    assert found["billing_details"]["line_1"] == STREET
    assert [one["url"] for one in found["webhook_endpoints"]] == [f"{webhooks.URL}/quill"]
    assert found["plan"]["name"] == "Pro"
    assert found["automatic_top_up"]["method_label"] == CARD
    assert [one["email"] for one in found["members"]] == [EMAIL]
    assert [one["email"] for one in found["invitations"]] == ["dora@example.com"]
    assert [one["amount_minor"] for one in found["payments"]] == [2_500]
    assert {one["kind"]: one["amount_nanos"] for one in found["transfers"]}["top_up"] == 30 * USD
    balance = found["organization"]["balance_nanos"]
    used = scenes.PLUS_CHARGE_NANOS
    assert sum(one["amount_nanos"] for one in found["transfers"]) - used == balance
    assert sum(one["amount_nanos"] for one in found["invoice_lines"]) == used
    assert found["audit_log"][-1]["action"] == "organization.exported"
    text = out.getvalue()
    for other in (made.secret, made.row.digest, "Alice", "olga@example.com", "192.0.2.1"):
        assert other not in text


def test_a_person_is_exported_from_the_command_line_and_the_log_says_so(cast) -> None:
    out = StringIO()
    call_command("export_user", EMAIL.upper(), stdout=out)
    assert json.loads(out.getvalue())["profile"]["name"] == NAME
    entry = AuditEntry.objects.get(action="account.exported")
    assert (entry.target, entry.is_operator) == (f"user {cast.charlie.pk}", True)
