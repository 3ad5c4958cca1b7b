"""What an operator at night is told and can do: what is wrong, the search, parked payments, credit
notes, prices taken back, models that are not ready, files out and in."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from billing import ledger
from billing.models import (
    CreditNote,
    EventState,
    OrderState,
    PaymentEvent,
    PaymentOrder,
    TransferKind,
)
from gateway import finder, troubles
from providers import catalog_file
from providers.models import Channel, Model, Price, PriceRate, Provider
from tests import factories
from tests.operators.conftest import allow
from tests.operators.people import Desk, gather

pytestmark = pytest.mark.django_db
USD = factories.USD


@pytest.fixture
def desk(db) -> Desk:
    return gather()


@pytest.fixture
def client(desk):
    return desk.clients["superuser"]


def page(row, name: str) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=[row.pk])


def said(answer) -> str:
    return " ".join(str(one) for one in answer.context["messages"])


def rows_of(answer) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(answer).decode())))


# --- what is wrong ------------------------------------------------------------------------------


def test_the_front_page_says_what_is_wrong_for_whom_and_where_the_switch_is(desk, client, olga):
    found = {one.what: one for one in troubles.read(olga, None)}
    parked = found["1 payment message is parked"]
    assert parked.whom == "Acme Robotics" and parked.is_urgent
    assert "state__exact=parked" in parked.url
    assert found["1 dispute is open"].whom == "Acme Robotics"
    assert found["1 adjustment waits for a second operator"].whom == "Acme Robotics $500.00"
    assert found["qwen-plus"].act == "Add a channel"
    text = client.get("/admin/").content.decode()
    assert "1 payment message is parked" in text and parked.url in text


def test_an_enabled_model_without_a_price_is_a_trouble(desk, olga):
    Model.objects.create(name="new", owned_by="x", context_tokens=1, output_tokens_max=1)
    found = {one.what: one for one in troubles.read(olga, None)}
    assert found["new"].act == "Add a price"


def test_troubles_are_shown_to_those_who_may_see_to_them(desk, stan):
    assert troubles.read(stan, None) == []
    allow(stan, "view_dispute")
    stan = type(stan).objects.get(pk=stan.pk)
    assert [one.what for one in troubles.read(stan, None)] == ["1 dispute is open"]


def test_a_failing_channel_is_switched_off_and_on_and_says_what_that_means(desk, client):
    channel = Channel.objects.get(pk=desk.pk("providers.channel"))
    answer = client.post(page(channel, "switch"), {"to": "off"}, follow=True)
    channel.refresh_from_db()
    assert not channel.is_enabled and "Nothing serves qwen-turbo" in said(answer)
    assert AuditEntry.objects.latest("id").action == "catalog.changed"
    client.post(page(channel, "switch"), {"to": "on"})
    channel.refresh_from_db()
    assert channel.is_enabled


# --- the search ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("acme", "Organization", "Acme Robotics"),
        ("ALICE@example.com", "Person", "alice@example.com"),
        ("{masked}", "API key", "{masked}"),
        ("{prefix}", "API key", "{masked}"),
        ("{last_four}", "API key", "{masked}"),
        ("req_{record}", "Request", "req_{record}"),
        ("INV-000001", "Invoice", "INV-000001"),
        ("INV-C-000001", "Credit note", "INV-C-000001"),
        ("tt-test-0001", "Payment", "TT-TEST-0001"),
        ("evt_1", "Payment message", "paid evt_1"),
        ("dp_1", "Dispute", "dp_1"),
        ("qwen-max", "Model", "qwen-max"),
        ("new@example.com", "Invitation", "new@example.com"),
    ],
)
def test_anything_an_operator_is_told_about_is_found(desk, olga, text, kind, words):
    organization = desk.cast.organization
    key = factories.key(organization, "Searched").row
    record = factories.record(organization)
    facts = {"masked": key.masked, "prefix": key.prefix, "last_four": key.last_four,
             "record": record.pk.hex}  # fmt: skip
    found = finder.find(olga, text.format(**facts))
    assert any(one.kind == kind and words.format(**facts) in one.words for one in found), found


def test_one_result_is_opened_and_nothing_is_found_that_may_not_be_seen(desk, client, stan):
    answer = client.get("/admin/find/", {"q": "TT-TEST-0001"})
    assert answer.headers["Location"] == page(PaymentOrder.objects.get(), "change")
    assert finder.find(stan, "TT-TEST-0001") == finder.find(stan, "acme") == []
    assert "Nothing is called" in client.get("/admin/find/", {"q": "nobody"}).content.decode()


# --- parked payments and documents --------------------------------------------------------------


def test_a_requests_id_opens_the_request_and_not_its_transfer_beside_it(desk, client, stan):
    wallet = ledger.open_wallet(desk.cast.organization)
    moved = ledger.credit(wallet, 1, kind=TransferKind.ADJUSTMENT, reason="Has the id it pays for")
    record = factories.record(desk.cast.organization, id=moved.pk)
    answer = client.get("/admin/find/", {"q": f"req_{record.pk.hex}"})
    assert answer.headers["Location"] == page(record, "change")
    allow(stan, "view_transfer")
    (found,) = finder.find(stan, f"req_{record.pk.hex}")
    assert found.kind == "Transfer"


def test_a_parked_message_is_put_away_once_confirmed_and_both_is_audited(desk, client):
    event = PaymentEvent.objects.get()
    assert "another amount" in client.get(page(event, "dismiss")).content.decode()
    event.refresh_from_db()
    assert event.state == EventState.PARKED
    client.post(page(event, "dismiss"))
    event.refresh_from_db()
    assert event.state == EventState.DONE
    entry = AuditEntry.objects.filter(action="payment.dismissed").get()
    assert (entry.organization, entry.actor_email) == (
        desk.cast.organization, "superuser@example.com",
    )  # fmt: skip
    answer = client.post(page(event, "dismiss"), follow=True)
    assert "not parked any more" in said(answer)


def test_a_parked_message_is_tried_again_and_credits(desk, client):
    order = PaymentOrder.objects.get()
    PaymentEvent.objects.update(facts={
        "kind": "paid", "reference": order.reference, "payment_id": "",
        "amount_minor": order.amount_minor, "currency": "usd",
    })  # fmt: skip
    event = PaymentEvent.objects.get()
    client.post(page(event, "retry"))
    event.refresh_from_db()
    order.refresh_from_db()
    assert AuditEntry.objects.filter(action="payment.retried").count() == 1
    assert (event.state == EventState.DONE) == (order.state == OrderState.PAID)


def test_a_parked_payment_that_was_never_charged_is_given_up(desk, client):
    PaymentOrder.objects.update(state=OrderState.PARKED)
    order = PaymentOrder.objects.get()
    assert "never charged" in client.get(page(order, "change")).content.decode()
    client.post(page(order, "give_up"))
    order.refresh_from_db()
    assert order.state == OrderState.FAILED
    assert AuditEntry.objects.filter(action="payment.given_up").get().target == order.reference


def test_a_credit_note_goes_to_the_balance_and_no_further_than_the_invoice(desk, client):
    invoice = desk.rows["billing.invoice"]
    wallet = ledger.open_wallet(invoice.organization)
    before = wallet.balance_nanos
    form = {"amount": "1", "reason": "An outage"}
    answer = client.post(page(invoice, "give_back"), form)
    assert "Only $0.99" in answer.content.decode()
    client.post(page(invoice, "give_back"), form | {"amount": "0.50"})
    note = CreditNote.objects.latest("pk")
    wallet.refresh_from_db()
    assert (note.total_minor, wallet.balance_nanos - before) == (50, USD // 2)
    entry = AuditEntry.objects.filter(action="credit_note.issued").get()
    assert (entry.target, entry.organization) == (str(note), invoice.organization)


# --- the catalog --------------------------------------------------------------------------------


def test_a_price_that_does_not_hold_yet_is_taken_back_and_one_in_force_is_not(desk, client):
    ahead = desk.rows["providers.price"]
    name = str(ahead)
    client.post(page(ahead, "cancel"))
    assert not Price.objects.filter(pk=ahead.pk).exists()
    assert AuditEntry.objects.filter(action="price.canceled").get().target == name
    held = Price.objects.filter(effective_at__lt=timezone.now())[0]
    answer = client.post(page(held, "cancel"), follow=True)
    assert "It is in force" in said(answer)
    assert Price.objects.filter(pk=held.pk).exists()


def model_form(**facts) -> dict:
    return {
        "name": "new-model", "owned_by": "x", "context_tokens": 1000, "output_tokens_max": 100,
        "request_defaults": "{}", "position": 100, "aliases": "",
    } | facts  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"is_enabled": "on"}, "It has no price in force"),
        ({"output_tokens_max": 2000}, "cannot be longer than the context"),
        ({"aliases": "qwen-max"}, "is the name of qwen-max already"),
    ],
)
def test_a_model_that_would_break_the_catalog_is_not_saved(desk, client, facts, words):
    text = client.post("/admin/providers/model/add/", model_form(**facts)).content.decode()
    assert words in text
    assert not Model.objects.filter(name="new-model").exists()


def test_a_new_model_is_priced_served_and_then_enabled(desk, client):
    answer = client.post("/admin/providers/model/add/", model_form(), follow=True)
    model = Model.objects.get(name="new-model")
    assert not model.is_enabled
    assert "It has no price in force" in answer.content.decode()
    price = Price.objects.create(model=model, effective_at=timezone.now())
    PriceRate.objects.create(
        price=price, input_nanos=1, cached_input_nanos=1, output_nanos=1, reasoning_output_nanos=1
    )
    client.post("/admin/providers/channel/add/", {
        "provider": Provider.objects.all()[0].pk, "model": model.pk, "priority": 10, "weight": 1,
        "base_url": "https://upstream.example/v1/", "is_enabled": "on",
    })  # fmt: skip
    channel = Channel.objects.get(model=model)
    assert (channel.base_url, channel.upstream_model) == (
        "https://upstream.example/v1", "new-model",
    )  # fmt: skip
    client.post(page(model, "change"), model_form(is_enabled="on"))
    model.refresh_from_db()
    assert model.is_enabled


def test_a_channels_address_is_one_alone(desk, client):
    for url in ("https://host/v1/chat/completions", "https://me:secret@host/v1"):
        answer = client.post("/admin/providers/channel/add/", {
            "provider": 1, "model": desk.pk("providers.model"), "priority": 10, "weight": 1,
            "base_url": url,
        })  # fmt: skip
        text = answer.content.decode()
        assert "Leave /chat/completions out" in text or "An address alone" in text
    assert not Channel.objects.filter(base_url__contains="host").exists()


def test_a_plan_of_an_organizations_own_begins_as_the_one_it_is_on(desk, client):
    organization = desk.cast.organization
    answer = client.get(f"/admin/billing/plan/add/?organization={organization.pk}")
    initial = answer.context["adminform"].form.initial
    plan = organization.subscription.plan
    assert initial["requests_per_minute"] == plan.requests_per_minute
    assert initial["name"] == f"{plan.name} for {organization.name}"
    assert desk.cast.outside.name not in answer.content.decode()


# --- files --------------------------------------------------------------------------------------


def test_lists_are_files_under_their_filters(desk, client):
    rows = rows_of(client.get("/admin/accounts/organization/export/", {"q": "Acme"}))
    assert [row[2] for row in rows[1:]] == ["Acme Robotics"]
    assert rows[0][4] == "balance_usd"
    prices = rows_of(client.get("/admin/providers/price/export/"))
    assert len(prices) - 1 == PriceRate.objects.count()
    days = rows_of(client.get("/admin/billing/usageday/export/"))
    assert days[0][-1] == "charge_usd" and len(days) > 1
    assert AuditEntry.objects.filter(action="data.exported").count() == 3


def test_a_catalog_taken_out_and_in_again_changes_nothing(desk, client):
    text = client.get("/admin/catalog-file/?download=1").content.decode()
    assert "credential" not in text
    assert catalog_file.compare(text) == []


def test_a_changed_catalog_is_shown_first_and_done_when_confirmed(desk, client):
    facts = json.loads(catalog_file.write())
    model = next(one for one in facts["models"] if one["name"] == "qwen-turbo")
    model["description"] = "Another sentence"
    model["price"]["rates"][0]["input_usd"] = "9.5"
    facts["models"].append(model | {"name": "brand-new"})
    text = json.dumps(facts)
    shown = client.post("/admin/catalog-file/", {"text": text}).content.decode()
    assert "Another sentence" in shown and "brand-new" in shown
    assert not Model.objects.filter(name="brand-new").exists()
    client.post("/admin/catalog-file/", {"text": text, "_confirmed": "1"})
    new = Model.objects.get(name="brand-new")
    assert not new.is_enabled and not new.channels.filter(is_enabled=True).exists()
    assert new.prices.get().rates.get().input_nanos == 9_500_000_000
    changed = Model.objects.get(name="qwen-turbo")
    assert changed.description == "Another sentence"
    now = changed.prices.filter(effective_at__lte=timezone.now() + timedelta(seconds=1))
    assert now.order_by("-effective_at")[0].rates.get().input_nanos == 9_500_000_000
    assert AuditEntry.objects.filter(action="catalog.imported").count() == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no", "It is not JSON"),
        ("[]", "no catalog of this format"),
        ('{"format": 1, "models": [{}]}', "“name” is missing"),
        ('{"format": 1, "models": 3}', "is not a list"),
        ('{"format": 1, "models": [{"name": "x", "owned_by": "y", "context_tokens": -1,'
         ' "output_tokens_max": 1}]}', "context_tokens"),
        ('{"format": 1, "models": [{"name": "qwen-max", "price": {"rates": [{}]}}]}',
         "a rate is not complete"),
    ],
)  # fmt: skip
def test_what_is_no_catalog_is_refused_with_the_reason(desk, client, text, words):
    shown = client.post("/admin/catalog-file/", {"text": text, "_confirmed": "1"}).content.decode()
    assert words in shown
