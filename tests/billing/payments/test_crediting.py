"""From a provider's word to the wallet: once, whatever is told how often and in which order."""

import itertools
import json
from typing import Any

import pytest
from django.utils import timezone

from accounts import mail, organizations
from billing import ledger, proof
from billing.models import (
    Account,
    Dispute,
    EventState,
    OrderState,
    PaymentEvent,
    PaymentOrder,
    Transfer,
    TransferKind,
)
from billing.payments import events, gateways, orders
from billing.payments.messages import Paid, Received
from tests.billing import scenes
from tests.billing.payments import till

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe")]

CENTS = 2_500
NANOS = 25 * scenes.USD


@pytest.fixture
def order(organization) -> PaymentOrder:
    made = orders.place(organization, gateways.get("stripe"), CENTS)
    PaymentOrder.objects.filter(pk=made.pk).update(
        provider_id="pi_1", state=OrderState.PENDING, asked_at=timezone.now()
    )
    made.refresh_from_db()
    return made


def tell(*told: dict[str, Any]) -> None:
    """What Stripe tells, as if its webhook had been recorded; all of it acted on, also what has
    to wait for something else."""
    gateway = gateways.get("stripe")
    for one in told:
        body = json.dumps(one).encode()
        received = gateway.verify(body, {"Stripe-Signature": till.signature(body)})
        events.record("stripe", received)
    for _ in range(len(told) + 1):
        PaymentEvent.objects.filter(state=EventState.WAITING).update(due_at=timezone.now())
        events.process_due()


def balance(order: PaymentOrder) -> int:
    return Account.objects.get(organization=order.organization_id).balance_nanos


def assert_proven() -> None:
    assert [(one.name, one.first) for one in proof.prove() if not one.is_ok] == []


def test_a_payment_is_credited_exactly_and_once_however_often_it_is_told(order):
    tell(till.succeeded(order))
    tell(till.succeeded(order), till.succeeded(order) | {"id": "evt_again"})
    order.refresh_from_db()
    assert balance(order) == NANOS
    assert (order.state, order.failure) == (OrderState.PAID, "")
    transfer = Transfer.objects.get(kind=TransferKind.TOP_UP)
    assert (transfer.pk, transfer.amount_nanos) == (order.transfer_id, NANOS)
    assert order.reference in transfer.reason
    assert_proven()


def test_a_payment_whose_id_was_lost_in_a_crash_is_found_by_its_reference(order):
    PaymentOrder.objects.filter(pk=order.pk).update(provider_id="", state=OrderState.OPEN)
    tell(till.succeeded(order, "pi_9"))
    order.refresh_from_db()
    assert (order.provider_id, balance(order)) == ("pi_9", NANOS)


def test_a_payment_that_failed_first_is_credited_when_another_card_works(order):
    error = {"message": "Your card was declined."}
    failed = till.event(
        "payment_intent.payment_failed",
        till.intent(order, status="requires_payment_method", last_payment_error=error),
    )
    tell(failed)
    order.refresh_from_db()
    assert (order.state, order.failure) == (OrderState.PENDING, "Your card was declined.")
    tell(till.succeeded(order))
    assert balance(order) == NANOS
    tell(failed | {"id": "evt_late"})
    order.refresh_from_db()
    assert (order.state, order.failure) == (OrderState.PAID, "")


WRONG = [
    {"amount_received": CENTS - 1},
    {"amount_received": CENTS + 1},
    {"amount_received": 0},
    {"amount_received": -CENTS},
    {"currency": "eur"},
    {"currency": "USD "},
    {"metadata": {"ttonk_order": "TT-AAAA-AAAA"}},
]


@pytest.mark.parametrize("changes", WRONG)
def test_a_payment_that_does_not_match_its_order_is_parked_and_never_credited(order, changes):
    tell(till.succeeded(order, **changes))
    event = PaymentEvent.objects.get()
    assert (event.state, event.order_id) == (EventState.PARKED, order.pk)
    assert event.note
    assert balance(order) == 0
    order.refresh_from_db()
    assert order.state == OrderState.PENDING


def test_a_payment_of_no_order_and_one_of_another_provider_are_parked(order):
    tell(till.succeeded(order, "pi_7", metadata={}))
    body = Paid("bank-1", order.reference, CENTS, "usd")
    events.process(events.record("bank", Received("statement:1", body)).pk)
    assert set(PaymentEvent.objects.values_list("state", flat=True)) == {EventState.PARKED}
    assert balance(order) == 0
    assert orders.parked() == 2


@pytest.mark.parametrize("kind", ["payment_failed", "canceled"])
def test_a_failed_payment_of_something_else_bothers_nobody(order, kind):
    tell(till.event(f"payment_intent.{kind}", {"id": "pi_7", "metadata": {}}))
    assert PaymentEvent.objects.get().state == EventState.DONE
    assert orders.parked() == 0


def test_one_payment_cannot_pay_two_orders(order, organization):
    other = orders.place(organization, gateways.get("stripe"), CENTS)
    tell(till.succeeded(order), till.succeeded(other, "pi_1"))
    assert balance(order) == NANOS
    parked = PaymentEvent.objects.get(state=EventState.PARKED)
    assert other.reference in parked.note


def test_refunds_take_back_what_was_refunded_in_any_order(order):
    steps = [till.succeeded(order), till.refunded(700), till.refunded(1_000)]
    tell(*steps[::-1], *steps)
    order.refresh_from_db()
    assert balance(order) == 15 * scenes.USD
    assert (order.refunded_minor, order.loss_nanos) == (1_000, 0)
    assert Transfer.objects.filter(kind=TransferKind.REFUND).count() in (1, 2)
    assert_proven()


@pytest.mark.parametrize("steps", list(itertools.permutations(range(4))))
def test_every_order_of_the_same_story_ends_in_the_same_balance(order, steps):
    told = [
        till.succeeded(order),
        till.refunded(500),
        till.dispute("needs_response", 2_000),
        till.dispute("won", 2_000, "closed"),
    ]
    for step in steps:
        tell(told[step])
    tell(*told)
    order.refresh_from_db()
    assert balance(order) == 20 * scenes.USD
    assert order.organization.suspended_at is None
    assert order.loss_nanos == 0
    assert not PaymentEvent.objects.exclude(state=EventState.DONE).exists()
    assert_proven()


def test_a_refund_of_more_than_the_balance_takes_what_is_there_and_the_rest_is_a_loss(order):
    tell(till.succeeded(order))
    wallet = Account.objects.get(organization=order.organization_id)
    ledger.debit(wallet, 20 * scenes.USD, kind=TransferKind.PLAN_FEE)
    tell(till.refunded(CENTS))
    order.refresh_from_db()
    assert balance(order) == 0
    assert order.loss_nanos == 20 * scenes.USD
    loss = Transfer.objects.get(kind=TransferKind.REFUND, debit_account__kind="operator_loss")
    assert loss.amount_nanos == 20 * scenes.USD
    ledger.fold_deltas()
    payments = Account.objects.get(kind="payments")
    assert payments.balance_nanos == 0  # all the money that came has gone back
    assert_proven()


def test_a_refund_leaves_what_running_requests_hold(order):
    tell(till.succeeded(order))
    request = scenes.Request(order.organization, held_nanos=5 * scenes.USD)
    request_id = scenes.authorize(request)
    tell(till.refunded(CENTS))
    order.refresh_from_db()
    assert order.loss_nanos == 5 * scenes.USD
    scenes.capture(request, request_id)
    assert_proven()


@pytest.mark.parametrize("told", [till.refunded(CENTS + 1), till.refunded(100, currency="eur")])
def test_a_refund_that_does_not_match_is_parked(order, told):
    tell(till.succeeded(order), told)
    assert balance(order) == NANOS
    assert PaymentEvent.objects.get(state=EventState.PARKED).kind == "refunded"


def test_a_refund_that_came_back_is_left_to_an_operator(order):
    refund = {"id": "re_1", "payment_intent": "pi_1", "failure_reason": "lost_or_stolen_card"}
    tell(till.succeeded(order), till.event("refund.failed", refund))
    assert "lost_or_stolen_card" in PaymentEvent.objects.get(state=EventState.PARKED).note


def test_a_dispute_takes_the_money_and_freezes_until_it_is_won(order, mailoutbox):
    tell(till.succeeded(order))
    tell(till.dispute("needs_response", CENTS))
    mail.deliver()
    order.organization.refresh_from_db()
    assert balance(order) == 0
    assert order.organization.suspended_at is not None
    assert [one.to for one in mailoutbox] == [["alice@example.com"]]
    assert order.reference in mailoutbox[0].subject
    assert_proven()
    tell(till.dispute("won", CENTS, "closed"))
    order.organization.refresh_from_db()
    assert balance(order) == NANOS
    assert order.organization.suspended_at is None
    assert_proven()


def test_a_lost_dispute_keeps_the_organization_frozen_and_a_late_opening_changes_nothing(order):
    tell(till.succeeded(order), till.dispute("lost", CENTS, "closed"))
    tell(till.dispute("needs_response", CENTS), till.dispute("under_review", CENTS, "updated"))
    order.organization.refresh_from_db()
    assert balance(order) == 0
    assert order.organization.suspended_at is not None
    assert Dispute.objects.get().state == "lost"
    assert_proven()


def test_an_inquiry_moves_nothing(order):
    tell(till.succeeded(order), till.dispute("warning_needs_response", CENTS))
    assert balance(order) == NANOS
    assert not Dispute.objects.exists()


def test_winning_does_not_resume_whom_an_operator_had_suspended(order):
    organizations.suspend(order.organization)
    tell(till.succeeded(order), till.dispute("needs_response", CENTS))
    tell(till.dispute("won", CENTS, "closed"))
    order.organization.refresh_from_db()
    assert order.organization.suspended_at is not None


def test_winning_one_of_two_disputes_leaves_the_other_one_freezing(order, organization):
    other = orders.place(organization, gateways.get("stripe"), CENTS)
    second = {"id": "dp_2", "payment_intent": "pi_2"}
    tell(till.succeeded(order), till.succeeded(other, "pi_2"))
    tell(till.dispute("needs_response", CENTS))
    tell(till.dispute("needs_response", CENTS, **second))
    tell(till.dispute("won", CENTS, "closed"))
    organization.refresh_from_db()
    assert organization.suspended_at is not None
    tell(till.dispute("won", CENTS, "closed", **second))
    organization.refresh_from_db()
    assert organization.suspended_at is None
    assert balance(order) == 2 * NANOS
    assert_proven()


def test_a_poisoned_event_fails_alone_and_is_parked_in_the_end(order):
    PaymentEvent.objects.create(provider="stripe", event_id="evt_bad", kind="paid", facts={"x": 1})
    tell(till.succeeded(order))
    assert balance(order) == NANOS
    bad = PaymentEvent.objects.get(event_id="evt_bad")
    assert bad.state == EventState.WAITING
    for _ in range(events.ATTEMPTS_MAX):
        PaymentEvent.objects.filter(pk=bad.pk).update(due_at=timezone.now())
        events.process_due()
    bad.refresh_from_db()
    assert bad.state == EventState.PARKED


def test_an_event_that_has_to_wait_is_tried_later_and_later(order):
    tell(till.refunded(100))
    event = PaymentEvent.objects.get()
    assert event.state == EventState.WAITING
    first = event.due_at
    events.process(event.pk)
    event.refresh_from_db()
    assert event.due_at - timezone.now() > (first - timezone.now())
