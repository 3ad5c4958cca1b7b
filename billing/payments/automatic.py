"""Automatic top-up: what an organization chose, and what its successes and failures lead to.
The runs themselves are in `billing.payments.automatic_runs`."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Organization
from billing import mails
from billing.models import AutoTopUp, PaymentOrder
from billing.payments import amounts

# After these many failures in a row it switches off.
FAILURES_MAX = 3
_FIRST_WAIT = timedelta(hours=1)


def configure(organization: Organization, **chosen: Any) -> AutoTopUp:
    """Switch on with what was chosen: threshold_nanos, amount_minor, cap_minor, provider,
    method_id, method_label. Past failures are forgotten."""
    with transaction.atomic():
        row, _ = AutoTopUp.objects.update_or_create(
            organization=organization,
            defaults={
                **chosen,
                "is_on": True,
                "failures": 0,
                "waits_until": None,
                "capped_month": None,
                "stopped_because": "",
                "changed_at": timezone.now(),
            },
        )
        audit.record(
            "auto_top_up.set",
            organization,
            row.method_label,
            threshold_nanos=row.threshold_nanos,
            amount_nanos=amounts.nanos(row.amount_minor),
            cap_nanos=amounts.nanos(row.cap_minor),
        )
    return row


def switch_off(organization: Organization, reason: str = "") -> bool:
    """Charge nothing more by itself. False where it was off."""
    running = AutoTopUp.objects.filter(organization=organization, is_on=True)
    with transaction.atomic():
        is_stopped = bool(
            running.update(is_on=False, stopped_because=reason, changed_at=timezone.now())
        )
        if is_stopped:
            audit.record("auto_top_up.stopped", organization, reason=reason)
    return is_stopped


def note_success(order: PaymentOrder) -> None:
    AutoTopUp.objects.filter(organization=order.organization).update(failures=0, waits_until=None)


def note_failure(order: PaymentOrder) -> None:
    """Wait an hour, then two; after the last failure switch off. The members who pay are told
    each time. Within the caller's transaction, once per order."""
    row = AutoTopUp.objects.select_for_update().filter(organization=order.organization).first()
    if row is None:
        return
    row.failures += 1
    row.waits_until = timezone.now() + _FIRST_WAIT * 2 ** (row.failures - 1)
    if row.failures >= FAILURES_MAX:
        row.is_on = False
        row.stopped_because = order.failure
    row.save(update_fields=["failures", "waits_until", "is_on", "stopped_because"])
    if not row.is_on:
        reason = row.stopped_because
        audit.record("auto_top_up.stopped", order.organization, row.method_label, reason=reason)
    mails.tell_of_failure(order.organization, row.method_label, order.failure, is_off=not row.is_on)
