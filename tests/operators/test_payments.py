"""Payments, refunds, codes and requests in the admin."""

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from billing import ledger
from billing.models import OrderState, PaymentOrder, RedeemCode, TransferKind, UsageRecord
from billing.payments import codes, gateways, orders
from tests import factories
from tests.operators.conftest import allow, signed_in

pytestmark = pytest.mark.django_db
USD = factories.USD
MAKE = "/admin/billing/redeemcode/make/"


@pytest.fixture
def order(cast, settings) -> PaymentOrder:
    settings.PAYMENT_GATEWAYS = {"bank": "billing.payments.bank_transfer.BankTransfer"}
    settings.BANK_DETAILS = "Example Bank\nAccount 1234"
    made = orders.place(cast.organization, gateways.get("bank"), 25_000)
    orders.start(made)
    return made


def page(order, name: str) -> str:
    return reverse(f"admin:billing_paymentorder_{name}", args=[order.pk])


def balance(organization) -> int:
    return ledger.open_wallet(organization).balance_nanos


def test_a_bank_transfer_is_confirmed_once(olga, cast, order):
    client = signed_in(olga)
    assert "Confirm the bank transfer" in client.get(page(order, "change")).content.decode()
    for _ in range(2):
        client.post(page(order, "confirm"), {"amount": "250", "statement": "B-17"})
    assert balance(cast.organization) == 251 * USD
    entry = AuditEntry.objects.filter(action="payment.confirmed").get()
    assert (entry.actor_email, entry.details["cents"]) == (olga.email, 25_000)
    assert entry.details["is_credited"] is True


def test_another_amount_than_the_orders_is_not_credited(olga, cast, order):
    answer = signed_in(olga).post(page(order, "confirm"), {"amount": "249.99", "statement": "B"})
    assert "Not credited" in answer.content.decode()
    assert balance(cast.organization) == USD
    entry = AuditEntry.objects.get(action="payment.confirmed")
    assert (entry.details["cents"], entry.details["is_credited"]) == (24_999, False)


def test_a_payment_is_refunded_no_further_than_it_was_paid(olga, cast, order):
    orders.confirm(order, 25_000, statement_id="B-17")
    client = signed_in(olga)
    order.refresh_from_db()
    assert order.state == OrderState.PAID
    answer = client.post(page(order, "refund"), {"amount": "250.01", "seen_refunded": 0})
    assert "Not refunded" in answer.content.decode()
    client.post(page(order, "refund"), {"amount": "100", "seen_refunded": 0})
    assert balance(cast.organization) == 151 * USD
    entry = AuditEntry.objects.filter(action="top_up.refunded").latest("id")
    assert (entry.target, entry.actor_email) == (order.reference, olga.email)
    assert entry.details["amount_nanos"] == 100 * USD


def test_a_refunds_form_sent_twice_is_one_refund_and_opened_anew_another(olga, cast, order):
    orders.confirm(order, 25_000, statement_id="B-17")
    client = signed_in(olga)
    opened = client.get(page(order, "refund")).context["form"]
    form = {"amount": "100", "seen_refunded": opened["seen_refunded"].value()}
    answers = [client.post(page(order, "refund"), form, follow=True) for _ in range(2)]
    said = [answer.content.decode() for answer in answers]
    assert "Refunded; the ledger follows" in said[0]
    assert "a refund was made after you opened the form" in said[1]
    assert balance(cast.organization) == 151 * USD
    assert AuditEntry.objects.filter(action="top_up.refunded").count() == 1
    anew = client.get(page(order, "refund")).context["form"]["seen_refunded"].value()
    client.post(page(order, "refund"), form | {"seen_refunded": anew})
    order.refresh_from_db()
    assert (balance(cast.organization), order.refunded_minor) == (51 * USD, 20_000)


@pytest.mark.parametrize("seen", [{}, {"seen_refunded": "x"}, {"seen_refunded": "-1"}])
def test_a_refund_without_what_was_seen_is_none(olga, cast, order, seen):
    orders.confirm(order, 25_000, statement_id="B-17")
    client = signed_in(olga)
    answer = client.post(page(order, "refund"), {"amount": "100", **seen})
    assert answer.status_code == 200
    assert "A part of the form was missing" in answer.content.decode()
    assert balance(cast.organization) == 251 * USD


def test_more_than_the_balance_has_is_refunded_only_when_that_is_said(olga, cast, order):
    orders.confirm(order, 25_000, statement_id="B-17")
    ledger.debit(ledger.open_wallet(cast.organization), 200 * USD, kind=TransferKind.ADJUSTMENT,
                 reason="Used")  # fmt: skip
    client = signed_in(olga)
    form = {"amount": "250", "seen_refunded": 0}
    assert "Not refunded" in client.post(page(order, "refund"), form).content.decode()
    client.post(page(order, "refund"), form | {"beyond_balance": "on"})
    order.refresh_from_db()
    assert (balance(cast.organization), order.loss_nanos) == (0, 199 * USD)


def test_looking_at_payments_allows_neither(stan, order):
    allow(stan, "view_paymentorder")
    client = signed_in(stan)
    text = client.get(page(order, "change")).content.decode()
    assert order.reference in text and "Confirm the bank transfer" not in text
    for name in ("refund", "confirm"):
        assert client.get(page(order, name)).status_code == 403


def make(client, **fields):
    form = {"amount": "5", "count": "3", "batch": "launch 2026", "expires": ""}
    return client.post(MAKE, form | fields)


def test_codes_come_as_a_file_once_and_are_worth_what_it_says(olga, cast):
    last = timezone.now().date() + timedelta(days=3)
    answer = make(signed_in(olga), expires=f"{last}")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="codes-launch-2026.csv"'
    assert answer.headers["Cache-Control"].startswith("private, no-store")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["usd"], row["batch"], row["expires"]) for row in rows] == [
        ("5.00", "launch 2026", f"{last}")
    ] * 3
    codes.redeem(cast.organization, rows[0]["code"])
    assert balance(cast.organization) == 6 * USD
    entry = AuditEntry.objects.filter(action="codes.created").get()
    assert (entry.target, entry.details["count"]) == ("launch 2026", 3)
    assert rows[1]["code"][-4:] not in str(entry.details)


@pytest.mark.parametrize("wrong", [{"amount": "0"}, {"count": "0"}, {"count": "10001"},
                                   {"batch": ""}, {"expires": "2020-01-01"}])  # fmt: skip
def test_a_batch_that_cannot_be_is_not_made(olga, wrong):
    assert make(signed_in(olga), **wrong).status_code == 200
    assert not RedeemCode.objects.exists()


def test_codes_worth_more_than_one_operator_may_move_are_a_superusers(stan, olga):
    allow(stan, "add_redeemcode", "view_redeemcode")
    client = signed_in(stan)
    assert "a superuser" in make(client, count="21").content.decode()
    assert not RedeemCode.objects.exists()
    make(client, count="20")
    make(signed_in(olga), count="21")
    assert RedeemCode.objects.count() == 41


def test_making_codes_wants_the_permission(stan):
    allow(stan, "view_redeemcode")
    assert make(signed_in(stan)).status_code == 403


@pytest.mark.parametrize("words", ["{slug}", "{day}", "{slug} {day}", "{id} {slug}", "{pk} {day}"])
def test_requests_are_found_by_organization_and_day_together(olga, cast, words):
    record = factories.record(cast.organization)
    factories.record(cast.outside)
    day = timezone.now().date()
    text = words.format(
        slug=cast.organization.slug, day=day, id=f"req_{record.pk.hex}", pk=cast.organization.pk
    )
    url = reverse("admin:billing_usagerecord_changelist")
    shown = list(signed_in(olga).get(url, {"q": text}).context["cl"].result_list)
    assert record in shown
    assert len(shown) == (2 if words == "{day}" else 1)
    other = text.replace(f"{day}", f"{day - timedelta(1)}")
    if other != text:
        assert not list(signed_in(olga).get(url, {"q": other}).context["cl"].result_list)
    assert UsageRecord.objects.count() == 2
