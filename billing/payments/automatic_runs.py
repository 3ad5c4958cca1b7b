"""A worker's run over the organizations whose balance is below what they chose.

However many workers run, and whatever they die of, one top-up charges once: an organization has
one automatic order at a time (a unique index), the balance is read again after that order is in,
and a charge that is asked for again carries the order's own idempotency key.
"""

import logging
from datetime import UTC, date, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from billing import mails
from billing.models import Account, AutoTopUp, OrderState, PaymentOrder
from billing.payments import (
    amounts,
    automatic,
    crediting,
    customers,
    events,
    gateways,
    messages,
    orders,
)
from billing.payments.gateway import Declined, Unavailable
from billing.payments.messages import Received

log = logging.getLogger(__name__)

# An order whose charge was cut off is sent again after a minute, this often; then an operator
# looks. Stripe knows an idempotency key for a day.
ATTEMPTS_MAX = 8
_AGAIN_AFTER = timedelta(minutes=1)


def run(limit: int = 100) -> int:
    """Top up who is below their threshold; returns how many orders were sent."""
    sent = 0
    for order in _cut_off(limit):
        sent += _send(order)
    for pk in _low(limit):
        order_or_none = _place(pk)
        if order_or_none is not None:
            sent += _send(order_or_none)
    return sent


def _low(limit: int) -> list[int]:
    now = timezone.now()
    balance = F("organization__wallet__credits_posted") - F("organization__wallet__debits_posted")
    rows = AutoTopUp.objects.alias(balance=balance).filter(
        is_on=True, balance__lt=F("threshold_nanos"), organization__suspended_at=None
    )
    rows = rows.exclude(waits_until__gt=now).exclude(capped_month=_month())
    return list(rows.order_by("pk").values_list("pk", flat=True)[:limit])


def _place(pk: int) -> PaymentOrder | None:
    """The organization's next automatic order; None where it needs none, or has one already."""
    rows = AutoTopUp.objects.select_related("organization")
    try:
        with transaction.atomic():
            seen = rows.get(pk=pk)
            # Waits for whoever settles the order before this one. What was chosen is locked only
            # then, as settling does it: the other way round the two would wait for each other.
            order = PaymentOrder.objects.create(
                organization=seen.organization,
                reference=orders.new_reference(),
                provider=seen.provider,
                currency=amounts.CURRENCY,
                amount_minor=seen.amount_minor,
                is_automatic=True,
            )
            # From here on the credit of the order before this one is in what is read.
            row = rows.select_for_update(of=("self",)).get(pk=pk)
            if _is_due(row, order) and not _is_capped(row, order):
                return order
            # Nothing stays of it but, perhaps, the mark that the cap was told of.
            order.delete()
    except (IntegrityError, AutoTopUp.DoesNotExist):
        pass
    return None


def _is_due(row: AutoTopUp, order: PaymentOrder) -> bool:
    """Whether it is still wanted, and as it was when the order was made."""
    if not row.is_on or (row.waits_until and row.waits_until > timezone.now()):
        return False
    if (row.provider, row.amount_minor) != (order.provider, order.amount_minor):
        return False
    wallet = Account.objects.get(organization=row.organization)
    return wallet.balance_nanos < row.threshold_nanos


def _is_capped(row: AutoTopUp, order: PaymentOrder) -> bool:
    """Whether this order would be more than the month's cap; told once a month."""
    month = _month()
    counted = PaymentOrder.objects.filter(
        organization=row.organization, is_automatic=True, created_at__gte=_first_moment(month)
    ).exclude(state__in=[OrderState.FAILED, OrderState.CANCELED])
    charged = counted.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    if charged <= row.cap_minor:
        return False
    row.capped_month = month
    row.save(update_fields=["capped_month"])
    before = amounts.nanos(charged - order.amount_minor)
    mails.tell_of_cap(row.organization, amounts.nanos(row.cap_minor), before)
    return True


def _cut_off(limit: int) -> list[PaymentOrder]:
    """Orders whose charge nobody saw the end of."""
    before = timezone.now() - _AGAIN_AFTER
    rows = PaymentOrder.objects.filter(is_automatic=True, state=OrderState.OPEN).filter(
        Q(asked_at__lt=before) | Q(asked_at=None, created_at__lt=before)
    )
    return list(rows.order_by("pk")[:limit])


def _send(order: PaymentOrder) -> bool:
    """Charge the saved card. Claimed by a guarded update, so one worker asks at a time."""
    claimed = PaymentOrder.objects.filter(
        pk=order.pk, state=OrderState.OPEN, attempts=order.attempts
    ).update(attempts=F("attempts") + 1, asked_at=timezone.now())
    if not claimed:
        return False
    order.refresh_from_db()
    if order.attempts > ATTEMPTS_MAX:
        _park(order)
        return False
    try:
        _charge(order)
    except Declined as declined:
        _fail(order, declined.reason)
    except (Unavailable, gateways.NotConfigured) as error:
        log.warning("automatic order %s not charged yet: %s", order, error)
    return True


def _charge(order: PaymentOrder) -> None:
    gateway = gateways.get(order.provider)
    row = AutoTopUp.objects.filter(organization=order.organization).first()
    if row is None or not row.is_on:
        if order.attempts == 1:  # nothing was asked for yet
            raise Declined("Automatic top-up was switched off.")
        raise Unavailable("switched off while its outcome is not known")
    customer_id = customers.find(order.organization, gateway)
    message = gateway.charge(order, customer_id, row.method_id)
    PaymentOrder.objects.filter(pk=order.pk, state=OrderState.OPEN).update(state=OrderState.PENDING)
    if message is not None:
        told = Received(f"asked:{order.reference}:{messages.kind(message)}", message)
        events.process(events.record(order.provider, told).pk)


def _fail(order: PaymentOrder, reason: str) -> None:
    with transaction.atomic():
        crediting.fail(PaymentOrder.objects.select_for_update().get(pk=order.pk), reason)


def _park(order: PaymentOrder) -> None:
    """Nobody knows whether the card was charged. No further charge until an operator has looked."""
    log.error("automatic order %s parked: its outcome is not known", order)
    PaymentOrder.objects.filter(pk=order.pk, state=OrderState.OPEN).update(state=OrderState.PARKED)
    automatic.switch_off(order.organization, "The outcome of the last charge is not known yet.")


def _month() -> date:
    return timezone.now().date().replace(day=1)


def _first_moment(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)
