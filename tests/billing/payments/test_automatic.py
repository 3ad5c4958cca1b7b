"""Automatic top-up: one charge for one dip, whoever runs, dies or fails meanwhile."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import mail, organizations
from accounts.models import Organization
from billing import ledger, proof
from billing.models import Account, AutoTopUp, OrderState, PaymentOrder, TransferKind
from billing.payments import automatic, automatic_runs, customers, events, gateways
from billing.payments.gateway import Declined, Unavailable
from billing.payments.messages import Paid, Received
from tests.billing import scenes

LOW = 2 * scenes.USD
CHOSEN = {
    "threshold_nanos": 5 * scenes.USD,
    "amount_minor": 2_000,
    "cap_minor": 5_000,
    "provider": "fake",
    "method_id": "pm_1",
    "method_label": "Visa …4242",
}
AMOUNT = 20 * scenes.USD


def enrol() -> Organization:
    """Below the threshold, with automatic top-up on."""
    organization = scenes.make_organization(credit_nanos=LOW)
    customers.find_or_create(organization, gateways.get("fake"))
    automatic.configure(organization, **CHOSEN)
    return organization


@pytest.fixture
def low(db: None, fake: Any) -> Organization:
    return enrol()


def balance(organization: Organization) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def spend_all(organization: Organization) -> None:
    wallet = Account.objects.get(organization=organization)
    if wallet.available_nanos:
        ledger.debit(wallet, wallet.available_nanos, kind=TransferKind.PLAN_FEE)


def wait_over() -> None:
    """The time that failures and cut-off charges wait is over."""
    past = timezone.now() - timedelta(days=1)
    AutoTopUp.objects.exclude(waits_until=None).update(waits_until=past)
    PaymentOrder.objects.update(asked_at=past)


def test_below_the_threshold_the_card_is_charged_once_and_the_balance_is_up(low, fake):
    assert automatic_runs.run() == 1
    assert automatic_runs.run() == 0
    order = PaymentOrder.objects.get()
    assert (order.state, order.is_automatic) == (OrderState.PAID, True)
    assert balance(low) == LOW + AMOUNT
    assert fake.taken == {order.reference: 2_000}
    assert all(one.is_ok for one in proof.prove())


def test_nothing_is_charged_at_the_threshold_or_for_a_suspended_organization(low, fake):
    ledger.credit(Account.objects.get(organization=low), 3 * scenes.USD, kind=TransferKind.WELCOME)
    assert automatic_runs.run() == 0
    spend_all(low)
    organizations.suspend(low)
    assert automatic_runs.run() == 0
    organizations.resume(low)
    automatic.switch_off(low)
    assert automatic_runs.run() == 0
    assert not PaymentOrder.objects.exists()


def test_the_webhook_of_a_charge_that_was_credited_already_credits_nothing(low, fake):
    automatic_runs.run()
    order = PaymentOrder.objects.get()
    told = Paid(order.provider_id, order.reference, order.amount_minor, "usd")
    events.process(events.record("fake", Received("evt_1", told)).pk)
    assert balance(low) == LOW + AMOUNT


def test_no_more_than_the_cap_is_charged_in_a_month_and_it_is_told_once(low, fake, mailoutbox):
    for _ in range(6):
        spend_all(low)
        automatic_runs.run()
    mail.deliver()
    assert sum(fake.taken.values()) == 4_000  # a third would make 6,000 of 5,000 allowed
    assert len(mailoutbox) == 1
    assert "limit" in mailoutbox[0].subject
    # Next month it goes on.
    AutoTopUp.objects.update(capped_month=timezone.now().date().replace(year=2020, day=1))
    PaymentOrder.objects.update(created_at=timezone.now() - timedelta(days=40))
    assert automatic_runs.run() == 1


def test_failures_wait_longer_each_time_are_told_and_switch_it_off(low, fake, mailoutbox):
    fake.trouble = [Declined("Your card was declined.") for _ in range(9)]
    waits = []
    for _ in range(5):
        automatic_runs.run()
        assert automatic_runs.run() == 0, "it waits"
        row = AutoTopUp.objects.get()
        assert row.waits_until is not None
        waits.append(row.waits_until - timezone.now())
        wait_over()
    mail.deliver()
    assert waits[0] < waits[1] < waits[2]
    assert (row.is_on, row.failures) == (False, automatic.FAILURES_MAX)
    assert row.stopped_because == "Your card was declined."
    assert len(fake.calls) == automatic.FAILURES_MAX
    assert [("switched off" in one.subject) for one in mailoutbox] == [False, False, True]
    assert balance(low) == LOW


def test_a_success_forgets_the_failures_before_it(low, fake):
    fake.trouble = [Declined("Your card was declined.")]
    automatic_runs.run()
    wait_over()
    automatic_runs.run()
    row = AutoTopUp.objects.get()
    assert (row.is_on, row.failures, row.waits_until) == (True, 0, None)
    assert balance(low) == LOW + AMOUNT


def test_a_charge_whose_answer_was_lost_is_asked_for_again_under_the_same_order(low, fake):
    fake.trouble = [Unavailable("timed out after it had happened"), Unavailable("again")]
    automatic_runs.run()
    assert automatic_runs.run() == 0, "not before a minute has passed"
    for _ in range(3):
        wait_over()
        automatic_runs.run()
    order = PaymentOrder.objects.get()
    assert order.state == OrderState.PAID
    assert [name for _, name in fake.calls] == [order.reference] * 3
    assert fake.taken == {order.reference: 2_000}
    assert balance(low) == LOW + AMOUNT


def test_a_charge_that_never_answers_is_parked_and_nothing_more_is_charged(low, fake):
    fake.trouble = [Unavailable("away") for _ in range(99)]
    for _ in range(automatic_runs.ATTEMPTS_MAX + 5):
        automatic_runs.run()
        wait_over()
    assert PaymentOrder.objects.get().state == OrderState.PARKED
    assert not AutoTopUp.objects.get().is_on
    assert len(fake.calls) == automatic_runs.ATTEMPTS_MAX


def test_a_parked_charge_is_credited_when_its_webhook_comes_after_all(low, fake):
    fake.trouble = [Unavailable("away") for _ in range(99)]
    for _ in range(automatic_runs.ATTEMPTS_MAX + 1):
        automatic_runs.run()
        wait_over()
    order = PaymentOrder.objects.get()
    told = Paid("pay_9", order.reference, order.amount_minor, "usd")
    events.process(events.record("fake", Received("evt_1", told)).pk)
    assert balance(low) == LOW + AMOUNT


def test_the_database_holds_one_open_automatic_order_per_organization(low):
    facts: dict[str, Any] = {
        "organization": low, "provider": "fake", "amount_minor": 500, "is_automatic": True,
    }  # fmt: skip
    PaymentOrder.objects.create(reference="TT-1", **facts)
    with pytest.raises(IntegrityError), transaction.atomic():
        PaymentOrder.objects.create(reference="TT-2", **facts)
    PaymentOrder.objects.create(reference="TT-3", **{**facts, "state": OrderState.FAILED})


def test_removing_the_card_switches_it_off(low, fake):
    assert not customers.forget(low, gateways.get("fake"), "pm_of_somebody_else")
    assert AutoTopUp.objects.get().is_on
    assert customers.forget(low, gateways.get("fake"), "pm_1")
    assert not AutoTopUp.objects.get().is_on
    assert fake.calls == [("forget_method", "pm_1")]


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_charge_once(fake):
    organization = enrol()
    fake.seconds = 0.05
    errors: list[BaseException] = []
    gate = threading.Barrier(8)

    def work() -> None:
        try:
            gate.wait(20)
            for _ in range(4):
                automatic_runs.run()
        except BaseException as error:  # told to the test below
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    assert list(fake.taken.values()) == [2_000]
    assert [name for name, _ in fake.calls] == ["charge"]
    assert balance(organization) == LOW + AMOUNT
