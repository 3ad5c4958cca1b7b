"""Which order a message is about: found and locked, or said to be nobody's."""

from billing.models import PaymentOrder
from billing.payments.messages import (
    Canceled,
    Disputed,
    Failed,
    Paid,
    Refunded,
    RefundFailed,
)

About = Paid | Failed | Canceled | Refunded | RefundFailed | Disputed


class Mismatch(Exception):
    """The message contradicts what is known. Nothing moves, and an operator looks at it."""

    def __init__(self, why: str, order: PaymentOrder | None = None) -> None:
        super().__init__(why)
        self.order = order


class TooEarly(Exception):
    """The message tells of what follows a payment whose own message is still to come."""


def lock_order(provider: str, message: About) -> PaymentOrder:
    """The order, its row locked until the transaction ends. Raises `Mismatch`.

    A payment belongs to the order that its provider's id was written to. Where the writing was
    lost in a crash, the reference that we gave the payment names it, once.
    """
    rows = PaymentOrder.objects.select_for_update(of=("self",)).select_related("organization")
    mine = rows.filter(provider=provider)
    reference = message.order if isinstance(message, Paid | Failed | Canceled) else ""
    order = mine.filter(provider_id=message.payment_id).first() if message.payment_id else None
    if order is None and reference:
        order = mine.filter(reference=reference, provider_id="").first()
        if order is not None and message.payment_id:
            order.provider_id = message.payment_id
            order.save(update_fields=["provider_id"])
    if order is None:
        known = PaymentOrder.objects.filter(reference=reference).first() if reference else None
        raise Mismatch(f"no order of {provider} has payment {message.payment_id}", known)
    if reference and reference != order.reference:
        raise Mismatch(f"payment of {order.reference} says it is for {reference}", order)
    return order
