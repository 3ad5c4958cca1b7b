"""Refunds that an operator asks for: full, in parts, too much, of spent money, two at once."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing import ledger, proof
from billing.models import Account, OrderState, PaymentOrder, TransferKind
from billing.payments import gateways, orders
from billing.payments.gateway import Declined, Unavailable
from tests.billing import scenes
from tests.billing.payments import till

USD = scenes.USD


@pytest.fixture
def bank(settings: Any) -> Any:
    settings.PAYMENT_GATEWAYS = {"bank": "billing.payments.bank_transfer.BankTransfer"}
    return gateways.get("bank")


def paid(organization: Any, gateway: Any, cents: int = 10_000) -> PaymentOrder:
    order = orders.place(organization, gateway, cents)
    orders.start(order)
    orders.confirm(order, cents, statement_id=f"B-{order.pk}")
    order.refresh_from_db()
    assert order.state == OrderState.PAID
    return order


def balance(organization: Any) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def assert_proven() -> None:
    assert [(one.name, one.first) for one in proof.prove() if not one.is_ok] == []


def test_a_payment_is_refunded_whole_or_in_parts_and_no_further(organization, bank) -> None:
    order = paid(organization, bank)
    for cents, left in ((2_500, 75), (2_500, 50), (5_000, 0)):
        orders.refund(order, cents)
        assert balance(organization) == left * USD
    with pytest.raises(orders.NotRefundable):
        orders.refund(order, 1)
    other = paid(organization, bank)
    orders.refund(other, 10_000)
    assert balance(organization) == 0
    assert_proven()


@pytest.mark.parametrize("cents", [10_001, 0, -1])
def test_more_than_was_paid_or_nothing_is_no_refund(organization, bank, cents) -> None:
    order = paid(organization, bank)
    with pytest.raises(orders.NotRefundable):
        orders.refund(order, cents, beyond_balance=True)
    assert balance(organization) == 100 * USD


def test_spent_money_is_refunded_only_at_the_operators_expense(organization, bank) -> None:
    order = paid(organization, bank)
    wallet = Account.objects.get(organization=organization)
    ledger.debit(wallet, 70 * USD, kind=TransferKind.PLAN_FEE)
    with pytest.raises(orders.NotRefundable, match="balance"):
        orders.refund(order, 10_000)
    orders.refund(order, 10_000, beyond_balance=True)
    order.refresh_from_db()
    assert (balance(organization), order.loss_nanos) == (0, 70 * USD)
    assert_proven()


def test_a_second_refund_waits_for_the_providers_word_about_the_first(organization, fake) -> None:
    order = placed_with_fake(organization, gateways.get("fake"))
    orders.refund(order, 4_000)
    with pytest.raises(orders.NotRefundable, match="under way"):
        orders.refund(order, 4_000)
    assert [name for name, _ in fake.calls].count("refund") == 1
    # Nobody ever told: after a while it can be asked for again.
    PaymentOrder.objects.update(refund_asked_at=timezone.now() - timedelta(minutes=11))
    orders.refund(order, 4_000)


@pytest.mark.parametrize("trouble", [Declined("no"), Unavailable("timed out")], ids=str)
def test_a_refund_that_was_not_made_can_be_asked_for_again(
    organization, fake, trouble, monkeypatch
) -> None:
    order = placed_with_fake(organization, gateways.get("fake"))
    troubles: list[Exception] = [trouble]

    def refuse(self: Any, order: PaymentOrder, amount_minor: int) -> None:
        if troubles:
            raise troubles.pop()
        self.calls.append(("refund", f"{order.reference}:{amount_minor}"))

    monkeypatch.setattr(till.FakeGateway, "refund", refuse)
    with pytest.raises(type(trouble)):
        orders.refund(order, 4_000)
    orders.refund(order, 4_000)
    assert [one for one in fake.calls if one[0] == "refund"] == [
        ("refund", f"{order.reference}:4000")
    ]


def placed_with_fake(organization: Any, gateway: Any) -> PaymentOrder:
    order = orders.place(organization, gateway, 10_000)
    orders.start(order)
    wallet = Account.objects.get(organization=organization)
    transfer = ledger.credit(wallet, 100 * USD, kind=TransferKind.TOP_UP)
    PaymentOrder.objects.filter(pk=order.pk).update(
        state=OrderState.PAID, paid_at=timezone.now(), transfer_id=transfer.pk
    )
    order.refresh_from_db()
    return order


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cents", [(6_000, 6_000), (6_000, 5_000)], ids=str)
def test_two_refunds_at_once_are_no_more_than_was_paid(bank, cents) -> None:
    organization = scenes.make_organization(credit_nanos=0)
    order = paid(organization, bank)
    gate = threading.Barrier(2)
    outcomes: list[int] = []

    def ask(amount: int) -> Callable[[], None]:
        def act() -> None:
            try:
                gate.wait(20)
                orders.refund(PaymentOrder.objects.get(pk=order.pk), amount)
                outcomes.append(amount)
            except orders.NotRefundable:
                pass
            finally:
                connection.close()

        return act

    threads = [threading.Thread(target=ask(amount)) for amount in cents]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    order.refresh_from_db()
    assert len(outcomes) == 1
    assert order.refunded_minor == sum(outcomes)
    assert balance(organization) == (10_000 - sum(outcomes)) * 10_000_000
    assert order.refund_asked_at is None
    assert_proven()
