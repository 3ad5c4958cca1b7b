"""Credits and debits by an operator's hand. What one person may move alone is bounded per day; more
waits for a second person, and is moved once, by whoever agrees first."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Abs
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Organization, User
from billing import ledger
from billing.models import AdjustmentRequest, AdjustmentState, Transfer, TransferKind

_WINDOW = timedelta(hours=24)


class NotDecidable(Exception):
    """It has been decided already, or by asking for it one has had one's say; the text says."""


def ask(
    organization: Organization, amount_nanos: int, *, reason: str, by: User, form_id: uuid.UUID
) -> AdjustmentRequest:
    """Move the amount (below zero: out of the wallet) now, where `by` may do so alone; else leave
    a request. The same `form_id` again does nothing and returns the first.

    Raises `ledger.InsufficientFunds` and ValueError (an amount of zero, an empty reason).
    """
    if not amount_nanos or not reason.strip():
        raise ValueError("an adjustment has an amount and a reason")
    with transaction.atomic():
        # One at a time per operator, so that the day's sum holds.
        User.objects.select_for_update(no_key=True).get(pk=by.pk)
        request, is_new = AdjustmentRequest.objects.get_or_create(
            form_id=form_id,
            defaults={
                "organization": organization,
                "amount_nanos": amount_nanos,
                "reason": reason.strip()[:300],
                "asked_by": by,
            },
        )
        if not is_new:
            return request
        if _moved_alone(organization, by) + abs(amount_nanos) <= settings.ADJUSTMENT_ALONE_NANOS:
            _move(request)
            _record("wallet.adjusted", request)
        else:
            _record("adjustment.requested", request)
    return request


def approve(request: AdjustmentRequest, *, by: User) -> Transfer:
    """Move the money: once, however many agree at the same time. Raises `NotDecidable` and
    `ledger.InsufficientFunds` (then it still waits)."""
    with transaction.atomic():
        _decide(request, AdjustmentState.POSTED, by)
        transfer = _move(request)
        _record("adjustment.approved", request)
    return transfer


def refuse(request: AdjustmentRequest, *, by: User) -> None:
    """Raises `NotDecidable`. Whoever asked may take it back themselves."""
    with transaction.atomic():
        _decide(request, AdjustmentState.REFUSED, by)
        _record("adjustment.refused", request)


def _moved_alone(organization: Organization, by: User) -> int:
    """What the operator has moved for the organization in the last day without a second person."""
    alone = AdjustmentRequest.objects.filter(
        organization=organization,
        asked_by=by,
        decided_by=None,
        state=AdjustmentState.POSTED,
        asked_at__gt=timezone.now() - _WINDOW,
    )
    return int(alone.aggregate(total=Sum(Abs("amount_nanos")))["total"] or 0)


def _decide(request: AdjustmentRequest, state: AdjustmentState, by: User) -> None:
    """The row's lock, its state and its rule about people: one of several deciders goes on."""
    row = AdjustmentRequest.objects.select_for_update(of=("self",)).get(pk=request.pk)
    if row.state != AdjustmentState.WAITING:
        raise NotDecidable(_("It has been decided already."))
    is_own = row.asked_by_id == by.pk
    if state == AdjustmentState.POSTED:
        if is_own:
            raise NotDecidable(_("Another operator has to agree: you asked for it."))
        _check_both_operate(row, by)
    request.state, request.decided_at = state, timezone.now()
    request.decided_by = None if is_own else by
    if state == AdjustmentState.REFUSED:
        request.save(update_fields=["state", "decided_at", "decided_by"])


def _check_both_operate(row: AdjustmentRequest, by: User) -> None:
    """Two people who are operators now: one who was demoted meanwhile is none. Their rows are held,
    so that whoever demotes one comes before this or after it."""
    wanted = [pk for pk in (by.pk, row.asked_by_id) if pk is not None]
    people = User.objects.filter(pk__in=wanted, is_active=True, is_staff=True)
    operating = {one.pk for one in people.select_for_update(no_key=True).order_by("pk")}
    if by.pk not in operating:
        raise NotDecidable(_("You are no operator any more."))
    if row.asked_by_id not in operating:
        said = _("Whoever asked is no operator any more: refuse it, and ask for it anew.")
        raise NotDecidable(said)


def _move(request: AdjustmentRequest) -> Transfer:
    """Within the caller's transaction: the transfer, and the row that says so."""
    verb = ledger.credit if request.amount_nanos > 0 else ledger.debit
    transfer = verb(
        ledger.open_wallet(request.organization),
        abs(request.amount_nanos),
        kind=TransferKind.ADJUSTMENT,
        reason=request.reason,
        idempotency_key=f"adjustment:{request.form_id}",
    )
    request.state, request.transfer_id = AdjustmentState.POSTED, transfer.pk
    request.save(update_fields=["state", "transfer_id", "decided_at", "decided_by"])
    return transfer


def _record(action: str, request: AdjustmentRequest) -> None:
    audit.record(
        action,
        request.organization,
        request.reason,
        id=request.pk,
        amount_nanos=request.amount_nanos,
        asked_by=request.asked_by.email if request.asked_by else "",
    )
