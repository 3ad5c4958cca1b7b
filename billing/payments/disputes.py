"""Payments that the payer's bank has taken back: out of the wallet, and the organization frozen,
until the bank has decided."""

from django.utils import timezone

from accounts import organizations
from accounts.models import Organization
from billing import ledger, mails
from billing.models import Dispute, DisputeState, PaymentOrder, TransferKind
from billing.payments import amounts
from billing.payments.matching import Mismatch
from billing.payments.messages import Disputed


def settle(order: PaymentOrder, message: Disputed) -> Dispute:
    """Do what the dispute's state asks for, within the caller's transaction, under the order's
    lock. A state that is older than the known one does nothing. Raises `Mismatch`."""
    if message.currency != order.currency or message.amount_minor > order.amount_minor:
        raise Mismatch(f"the dispute of {order} is about another amount", order)
    dispute, is_new = Dispute.objects.get_or_create(
        provider=order.provider,
        provider_id=message.dispute_id,
        defaults={"order": order, "amount_minor": message.amount_minor},
    )
    if dispute.order_id != order.pk:
        raise Mismatch(f"dispute {message.dispute_id} is of another order", order)
    if is_new and message.state != "won":
        _open(dispute, order)
    if message.state == "won" and dispute.state != DisputeState.WON:
        _close(dispute, DisputeState.WON)
        _give_back(dispute, order)
    elif message.state == "lost" and dispute.state == DisputeState.OPEN:
        _close(dispute, DisputeState.LOST)
    return dispute


def _open(dispute: Dispute, order: PaymentOrder) -> None:
    nanos = amounts.nanos(dispute.amount_minor, order.currency)
    dispute.wallet_nanos = ledger.take_back(
        ledger.open_wallet(order.organization),
        nanos,
        kind=TransferKind.DISPUTE,
        reason=f"Disputed: {order.reference}",
    )
    dispute.loss_nanos = nanos - dispute.wallet_nanos
    if organizations.suspend(order.organization):
        dispute.suspended_at = order.organization.suspended_at
    dispute.save(update_fields=["wallet_nanos", "loss_nanos", "suspended_at"])
    order.loss_nanos += dispute.loss_nanos
    order.save(update_fields=["loss_nanos"])
    mails.tell_of_dispute(order.organization, order.reference, nanos)


def _close(dispute: Dispute, state: DisputeState) -> None:
    dispute.state = state
    dispute.closed_at = timezone.now()
    dispute.save(update_fields=["state", "closed_at"])


def _give_back(dispute: Dispute, order: PaymentOrder) -> None:
    ledger.give_back(
        ledger.open_wallet(order.organization),
        dispute.wallet_nanos,
        dispute.loss_nanos,
        kind=TransferKind.DISPUTE,
        reason=f"Dispute won: {order.reference}",
    )
    order.loss_nanos -= dispute.loss_nanos
    order.save(update_fields=["loss_nanos"])
    _thaw(dispute, order.organization)


def _thaw(dispute: Dispute, organization: Organization) -> None:
    """Serve the organization again, where this dispute froze it and nobody else has since.

    Where another dispute is still open, the freeze is that one's from now on.
    """
    if dispute.suspended_at is None:
        return
    stamp, dispute.suspended_at = dispute.suspended_at, None
    dispute.save(update_fields=["suspended_at"])
    open_too = Dispute.objects.filter(
        order__organization=organization, state__in=[DisputeState.OPEN, DisputeState.LOST]
    ).exclude(pk=dispute.pk)
    heir = open_too.order_by("pk").first()
    if heir is not None:
        Dispute.objects.filter(pk=heir.pk).update(suspended_at=stamp)
    elif organization.suspended_at == stamp:
        organizations.resume(organization)
