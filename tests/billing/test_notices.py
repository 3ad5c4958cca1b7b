"""What webhooks are told about money: by the verbs that move it, once each, in exact amounts."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine
from django.db import transaction

from accounts.webhooks import events
from accounts.webhooks.models import WebhookEvent
from billing import alerts, invoices, ledger, renewals, spend_caps, subscriptions, thresholds
from billing.models import Account, Plan, TransferKind, UsageDay
from billing.payments import automatic, automatic_runs, crediting, customers, gateways, orders
from billing.payments.gateway import Declined
from billing.payments.messages import Paid
from tests import webhooks
from tests.billing import scenes
from tests.billing.payments import till

pytestmark = pytest.mark.django_db
USD = scenes.USD


@pytest.fixture
def organization(settings):
    settings.PAYMENT_GATEWAYS = {"fake": "tests.billing.payments.till.FakeGateway"}
    till.FakeGateway.reset()
    made = scenes.make_organization(credit_nanos=10 * USD)
    webhooks.endpoint(made)
    return made


def told(type: str) -> list[dict]:
    """The data of each event of this type, in their order; every amount stands in it twice."""
    rows = WebhookEvent.objects.filter(type=type).order_by("created_at")
    found = [json.loads(row.body)["data"] for row in rows]
    for data in found:
        for facts in (data, *(one for one in data.values() if isinstance(one, dict))):
            for name in [name for name in facts if name.endswith("_nanos")]:
                assert Decimal(facts[name.removesuffix("_nanos")]) * USD == facts[name]
    return found


def spend(organization, nanos: int) -> None:
    wallet = Account.objects.get(organization=organization)
    ledger.debit(wallet, nanos, kind=TransferKind.PLAN_FEE)


def test_a_low_balance_is_told_once_per_dip(organization, settings):
    settings.LOW_BALANCE_NANOS = USD // 2
    alerts.mail_low_balances()
    assert told("balance.low") == []
    spend(organization, 10 * USD - 123_456_789)
    for _ in range(2):
        alerts.mail_low_balances()
    assert told("balance.low") == [
        {
            "balance_nanos": 123_456_789,
            "balance": "0.123456789",
            "threshold_nanos": 500_000_000,
            "threshold": "0.50",
        }
    ]


def test_a_spend_alert_is_told_once_a_month(organization):
    thresholds.add_alert(organization, 5 * USD)
    UsageDay.objects.create(
        organization_id=organization.pk, model="m", charge_nanos=6 * USD,
        day=datetime.now(UTC).date(),
    )  # fmt: skip
    for _ in range(2):
        thresholds.mail_alerts()
    [data] = told("spend.threshold_reached")
    assert (data["threshold_nanos"], data["spend_nanos"]) == (5 * USD, 6 * USD)


def test_a_payment_is_told_when_it_is_credited_and_not_again(organization):
    order = orders.place(organization, gateways.get("fake"), 2_500, by=organization.members.get())
    paid = Paid(f"pay_{order.reference}", order.reference, 2_500, "usd")
    for _ in range(2):
        with transaction.atomic():
            crediting.apply("fake", paid)
    [data] = told("payment.succeeded")
    payment = data["payment"]
    assert payment["reference"] == order.reference
    assert (payment["amount_nanos"], payment["amount"]) == (25 * USD, "25.00")
    assert payment["is_automatic"] is False
    assert payment["paid_at"].endswith("Z")


def test_an_automatic_top_up_that_fails_is_told_with_its_reason(organization):
    customers.find_or_create(organization, gateways.get("fake"))
    automatic.configure(
        organization, threshold_nanos=20 * USD, amount_minor=2_000, cap_minor=5_000,
        provider="fake", method_id="pm_1", method_label="Visa …4242",
    )  # fmt: skip
    till.FakeGateway.trouble = [Declined("Your card was declined.")]
    automatic_runs.run()
    [data] = told("payment.failed")
    assert data["payment"]["reason"] == "Your card was declined."
    assert data["payment"]["is_automatic"] is True
    assert told("payment.succeeded") == []


def test_another_plan_is_told_however_it_came(organization):
    Plan.objects.filter(slug="pro").update(fee_nanos_per_month=2 * USD)
    pro = Plan.objects.get(slug="pro")
    with time_machine.travel(datetime(2026, 11, 16, tzinfo=UTC), tick=False):
        subscriptions.change_plan(organization, pro)
        subscriptions.change_plan(organization, pro)
    first = {"plan": {"id": "pro", "name": "Pro"}, "before": {"id": "starter", "name": "Starter"}}
    assert told("plan.changed") == [first]
    spend(organization, Account.objects.get(organization=organization).available_nanos)
    for day in (1, 2, 4, 8, 9):
        with time_machine.travel(datetime(2026, 12, day, 1, tzinfo=UTC), tick=False):
            renewals.run()
    assert told("plan.changed")[1:] == [{"plan": first["before"], "before": first["plan"]}]


def test_an_invoice_is_told_when_it_is_issued(organization):
    with time_machine.travel(datetime(2026, 11, 3, tzinfo=UTC)):
        record = scenes.use(organization, model="qwen-max")
        scenes.charge_at(record, datetime(2026, 10, 15, tzinfo=UTC))
        [invoice] = invoices.close_month(datetime(2026, 10, 1, tzinfo=UTC).date()).invoices
        invoices.close_month(datetime(2026, 10, 1, tzinfo=UTC).date())
    [data] = told("invoice.issued")
    assert data["invoice"]["number"] == str(invoice)
    assert data["invoice"]["month"] == "2026-10"
    assert data["invoice"]["total_nanos"] == invoice.total_minor * 10**7


def test_what_is_undone_is_not_told(organization):
    pro = Plan.objects.get(slug="pro")
    with pytest.raises(RuntimeError), transaction.atomic():
        subscriptions.change_plan(organization, pro, charge_fee=False)
        assert told("plan.changed")
        raise RuntimeError
    assert told("plan.changed") == []


def test_every_type_that_is_offered_is_told_by_some_verb():
    """By name, in the modules that call `emit`."""
    from pathlib import Path

    from accounts.webhooks import notices
    from billing import notices as of_money

    sources = "".join(Path(one.__file__ or "").read_text() for one in (notices, of_money))
    assert [name for name in events.TYPES if f'"{name}"' not in sources] == []


def test_a_cap_that_refuses_is_told_once_a_month_and_cap(organization):
    spend_caps.change(organization, 3 * USD)
    for _ in range(2):
        scenes.execute(spend_caps.NOTE_REACHED, [organization.pk])
        spend_caps.mail_reached()
    [data] = told("spend.cap_reached")
    assert (data["cap_nanos"], data["spend_nanos"]) == (3 * USD, 0)
