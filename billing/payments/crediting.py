"""What a message does to an order and to the wallet.

`apply` may be called with any message, in any order, any number of times: the order's row is
locked, and its state says what has been done already.
"""

from django.utils import timezone

from billing import ledger, notices
from billing.models import OrderState, PaymentOrder, TransferKind
from billing.payments import amounts, automatic, disputes, gateways
from billing.payments.matching import Mismatch, TooEarly, lock_order
from billing.payments.messages import (
    Canceled,
    Disputed,
    Failed,
    Ignored,
    Message,
    Paid,
    Refunded,
    RefundFailed,
)

_WAITING = (OrderState.OPEN, OrderState.PENDING, OrderState.PARKED)


def apply(provider: str, message: Message) -> PaymentOrder | None:
    """Do what `message` asks for, within the caller's transaction; the order it was about, None
    for what is about none.

    Raises `Mismatch` where an operator has to look, and `TooEarly` where it is to be tried again:
    then nothing has changed.
    """
    if isinstance(message, Ignored):
        return None
    order = lock_order(provider, message)
    match message:
        case Paid():
            _credit(order, message)
        case Failed():
            fail(order, message.reason)
        case Canceled():
            _cancel(order)
        case Refunded():
            _refund(order, message)
        case Disputed():
            if order.state != OrderState.PAID:
                raise TooEarly(f"{order} is not paid yet")
            disputes.settle(order, message)
        case RefundFailed():
            raise Mismatch(f"a refund of {order} came back: {message.reason}", order)
    return order


def fail(order: PaymentOrder, reason: str) -> None:
    """An attempt failed. Its payer may try another card; an automatic order is over."""
    if order.state not in _WAITING:
        return
    order.failure = reason[:300]
    if order.is_automatic:
        order.state = OrderState.FAILED
        automatic.note_failure(order)
        notices.payment_failed(order)
    order.save(update_fields=["failure", "state"])


def _credit(order: PaymentOrder, message: Paid) -> None:
    if (message.amount_minor, message.currency) != (order.amount_minor, order.currency):
        raise Mismatch(
            f"{order} is for {order.amount_minor} {order.currency},"
            f" and {message.amount_minor} {message.currency} were paid",
            order,
        )
    if order.state == OrderState.PAID:
        return
    transfer = ledger.credit(
        ledger.open_wallet(order.organization),
        amounts.nanos(order.amount_minor, order.currency),
        kind=TransferKind.TOP_UP,
        reason=f"{noun(order)} {order.reference}",
        idempotency_key=f"order:{order.reference}",
    )
    order.state = OrderState.PAID
    order.paid_at = timezone.now()
    order.transfer_id = transfer.pk
    order.failure = ""
    order.save(update_fields=["state", "paid_at", "transfer_id", "failure"])
    notices.payment_succeeded(order)
    if order.is_automatic:
        automatic.note_success(order)


def _cancel(order: PaymentOrder) -> None:
    if order.state in _WAITING:
        order.state = OrderState.CANCELED
        order.save(update_fields=["state"])


def _refund(order: PaymentOrder, message: Refunded) -> None:
    if message.currency != order.currency or message.refunded_minor > order.amount_minor:
        raise Mismatch(
            f"{order} is for {order.amount_minor} {order.currency},"
            f" and {message.refunded_minor} {message.currency} were refunded",
            order,
        )
    if order.state != OrderState.PAID:
        raise TooEarly(f"{order} is not paid yet")
    more = amounts.nanos(message.refunded_minor - order.refunded_minor, order.currency)
    if more <= 0:
        return
    taken = ledger.take_back(
        ledger.open_wallet(order.organization),
        more,
        kind=TransferKind.REFUND,
        reason=f"Refund of {order.reference}",
    )
    order.refunded_minor = message.refunded_minor
    order.loss_nanos += more - taken
    order.refund_asked_at = None
    order.save(update_fields=["refunded_minor", "loss_nanos", "refund_asked_at"])


def noun(order: PaymentOrder) -> str:
    if order.is_automatic:
        return "Automatic top-up"
    try:
        return gateways.get(order.provider).noun
    except gateways.NotConfigured:  # taken out of the settings since
        return "Payment"
