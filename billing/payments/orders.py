"""Top-up orders as their payer sees them: placed, taken to the provider, given up, refunded.
What happens to them when money moves is in `billing.payments.crediting`."""

import logging
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.models import Organization, User
from billing import ledger
from billing.models import EventState, OrderState, PaymentEvent, PaymentOrder
from billing.payments import amounts, customers, events, gateways, messages
from billing.payments.gateway import Checkout, Declined, PaymentGateway, Unavailable
from billing.payments.messages import Paid, Received

log = logging.getLogger(__name__)

AMOUNT_MINOR_MIN = 500
AMOUNT_MINOR_MAX = 1_000_000
# Waiting for their payer, per organization.
WAITING_MAX = 10
_ASK_AFTER = timedelta(minutes=10)
# After that a refund of the same order may be asked for again, under the same idempotency key.
_REFUND_TOLD_WITHIN = timedelta(minutes=10)
# No letter that looks like a digit: it is typed from a screen into a bank's form.
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"


class Suspended(Exception):
    """A suspended organization pays nothing in: that would not bring it back."""


class TooManyWaiting(Exception):
    """So many orders wait for their payer already: pay or cancel one of them first."""


class NotRefundable(Exception):
    """More than is left of the payment, or than the balance has."""


class RefundedMeanwhile(NotRefundable):
    """Whoever asks has not seen the latest refund: perhaps it is the one they ask for."""


def place(
    organization: Organization,
    gateway: PaymentGateway,
    amount_minor: int,
    *,
    by: User | None = None,
    saves_method: bool = False,
) -> PaymentOrder:
    """A new order, not known to the provider yet. Raises ValueError for an amount out of bounds,
    `Suspended` and `TooManyWaiting`."""
    if not AMOUNT_MINOR_MIN <= amount_minor <= AMOUNT_MINOR_MAX:
        raise ValueError(f"{amount_minor} is not between {AMOUNT_MINOR_MIN} and {AMOUNT_MINOR_MAX}")
    if organization.suspended_at is not None:
        raise Suspended
    if waiting(organization).count() >= WAITING_MAX:
        raise TooManyWaiting
    with transaction.atomic():
        order = PaymentOrder.objects.create(
            organization=organization,
            reference=new_reference(),
            provider=gateway.name,
            currency=amounts.CURRENCY,
            amount_minor=amount_minor,
            saves_method=saves_method and gateway.saves_methods,
            created_by=by,
        )
        nanos = amounts.nanos(amount_minor)
        audit.record("top_up.started", organization, order.reference, amount_nanos=nanos)
    return order


def new_reference() -> str:
    """Such as `TT-7GQ4-M2XD`: 40 bits, and the column is unique."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"TT-{letters[:4]}-{letters[4:]}"


def waiting(organization: Organization):  # type: ignore[no-untyped-def]
    """Orders that somebody may still pay by hand."""
    return PaymentOrder.objects.filter(
        organization=organization,
        is_automatic=False,
        state__in=[OrderState.OPEN, OrderState.PENDING],
    )


def start(order: PaymentOrder) -> Checkout:
    """What the payer's page needs. Again: the same payment. Raises `Unavailable`, `Declined` and
    `gateways.NotConfigured`."""
    gateway = gateways.get(order.provider)
    customer_id = ""
    if gateway.saves_methods:
        customer_id = customers.find_or_create(order.organization, gateway)
    checkout = gateway.create_intent(order, customer_id)
    PaymentOrder.objects.filter(pk=order.pk, provider_id="").update(provider_id=checkout.payment_id)
    PaymentOrder.objects.filter(pk=order.pk, state=OrderState.OPEN).update(
        state=OrderState.PENDING, asked_at=timezone.now()
    )
    order.refresh_from_db(fields=["provider_id", "state", "asked_at"])
    return checkout


def cancel(order: PaymentOrder) -> bool:
    """Give up an order that nobody has paid. False where it is paid, or about to be. Raises
    `Unavailable`."""
    try:
        gateways.get(order.provider).cancel(order)
    except gateways.NotConfigured:
        pass
    except Declined:
        return False
    waiting_still = PaymentOrder.objects.filter(
        pk=order.pk, state__in=[OrderState.OPEN, OrderState.PENDING]
    )
    with transaction.atomic():
        is_canceled = bool(waiting_still.update(state=OrderState.CANCELED))
        if is_canceled:
            audit.record("top_up.canceled", order.organization, order.reference)
    return is_canceled


def confirm(order: PaymentOrder, amount_minor: int, *, statement_id: str) -> PaymentEvent:
    """An operator has the money of a bank transfer. The same statement again credits nothing; an
    amount that is not the order's is parked."""
    message = Paid(order.reference, order.reference, amount_minor, order.currency)
    event = events.record(order.provider, Received(f"statement:{statement_id}", message))
    events.process(event.pk)
    event.refresh_from_db()
    return event


def refund(
    order: PaymentOrder,
    amount_minor: int,
    *,
    beyond_balance: bool = False,
    seen_refunded_minor: int | None = None,
) -> None:
    """Send money back through the provider; the ledger follows when the provider has told of it.
    One refund of an order is under way at a time, so that two clicks are not two refunds; and
    with `seen_refunded_minor`, what whoever asks saw refunded, neither are two posts of a form.

    Raises `NotRefundable`, `RefundedMeanwhile` among them, `Unavailable` and `Declined`. What the
    balance no longer has is the operator's loss, and so wants `beyond_balance`.
    """
    claimed = _claim_refund(order, amount_minor, beyond_balance, seen_refunded_minor)
    try:
        received = gateways.get(claimed.provider).refund(claimed, amount_minor)
    except Exception:
        # Refused, or nobody knows: the next one carries the same idempotency key.
        PaymentOrder.objects.filter(pk=order.pk).update(refund_asked_at=None)
        raise
    nanos = amounts.nanos(amount_minor, order.currency)
    audit.record("top_up.refunded", order.organization, order.reference, amount_nanos=nanos)
    if received is not None:
        events.process(events.record(order.provider, received).pk)


def _claim_refund(
    order: PaymentOrder, amount_minor: int, beyond_balance: bool, seen_refunded_minor: int | None
) -> PaymentOrder:
    """The order as it is now, its refund this caller's alone for a while."""
    now = timezone.now()
    with transaction.atomic():
        rows = PaymentOrder.objects.select_for_update(of=("self",)).select_related("organization")
        row = rows.get(pk=order.pk)
        left = row.amount_minor - row.refunded_minor
        if seen_refunded_minor not in (None, row.refunded_minor):
            raise RefundedMeanwhile(f"{row.refunded_minor} cents of {row} are refunded by now")
        if row.state != OrderState.PAID or not 0 < amount_minor <= left:
            raise NotRefundable(f"{left} of {row.amount_minor} cents are left of {row}")
        if row.refund_asked_at is not None and row.refund_asked_at > now - _REFUND_TOLD_WITHIN:
            raise NotRefundable(f"a refund of {row} is under way: wait for the provider's word")
        available = ledger.open_wallet(row.organization).available_nanos
        if amounts.nanos(amount_minor, row.currency) > available and not beyond_balance:
            raise NotRefundable(f"the balance has only {available} nanos left")
        row.refund_asked_at = now
        row.save(update_fields=["refund_asked_at"])
    return row


def ask_stale(limit: int = 50) -> int:
    """Ask providers about payments nobody has told of for ten minutes, and give up those that
    have waited too long. Returns how many were looked at."""
    now = timezone.now()
    stale = PaymentOrder.objects.filter(
        state__in=[OrderState.OPEN, OrderState.PENDING], created_at__lt=now - _ASK_AFTER
    ).filter(Q(asked_at=None) | Q(asked_at__lt=now - _ASK_AFTER))
    found = list(stale.exclude(is_automatic=True, state=OrderState.OPEN).order_by("id")[:limit])
    for order in found:
        if stale.filter(pk=order.pk).update(asked_at=now):
            try:
                _ask(order)
            except (Unavailable, Declined, gateways.NotConfigured) as error:
                log.warning("order %s could not be asked about: %s", order, error)
    return len(found)


def _ask(order: PaymentOrder) -> None:
    gateway = gateways.get(order.provider)
    message = gateway.ask(order) if order.provider_id else None
    if message is not None:
        told = Received(f"asked:{order.reference}:{messages.kind(message)}", message)
        events.process(events.record(order.provider, told).pk)
    elif timezone.now() - order.created_at > timedelta(days=gateway.patience_days):
        cancel(order)


def give_up(order: PaymentOrder) -> bool:
    """An operator has found out that a parked order was never paid. False for one not parked."""
    rows = PaymentOrder.objects.filter(pk=order.pk, state=OrderState.PARKED)
    with transaction.atomic():
        changed = rows.update(state=OrderState.FAILED, failure="It was never charged.")
        if changed:
            audit.record("payment.given_up", order.organization, order.reference)
    return bool(changed)


def parked() -> int:
    """How many events and orders wait for an operator."""
    return (
        PaymentEvent.objects.filter(state=EventState.PARKED).count()
        + PaymentOrder.objects.filter(state=OrderState.PARKED).count()
    )
