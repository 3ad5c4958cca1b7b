"""Which plan an organization is on, and what changing it costs.

A dearer plan holds at once, and the days left of the month cost the difference. A cheaper one
takes the paid plan's place at the month's end; until then the choice can be taken back. What
comes by itself, at the start of a month, is in `billing.renewals`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Organization
from billing import notices, plan_charges, proration
from billing.models import Plan, Subscription
from billing.plan_charges import Dues


class ChangeKind(StrEnum):
    KEEP = "keep"  # on it already; a scheduled change is taken back
    PAY = "pay"  # on it already, and its fee is owed
    TRIAL = "trial"
    NOW = "now"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Change:
    """What choosing a plan would do: at `starts_at`, for `dues`."""

    kind: ChangeKind
    starts_at: datetime
    dues: Dues

    @property
    def is_downgrade(self) -> bool:
        return self.kind == ChangeKind.LATER


def quote(subscription: Subscription, plan: Plan, now: datetime | None = None) -> Change:
    """What choosing `plan` now would do and cost; nothing is changed."""
    now = now or timezone.now()
    today = now.date()
    nothing = Dues(today, 0, 0)
    if plan.pk == subscription.plan_id:
        if subscription.owed_from is None:
            return Change(ChangeKind.KEEP, now, nothing)
        return Change(ChangeKind.PAY, now, plan_charges.dues(plan, subscription.owed_from))
    paid_nanos = _paid_now(subscription, now)
    if plan.trial_days and not paid_nanos and not subscription.trial_started_at:
        return Change(ChangeKind.TRIAL, now, nothing)
    if plan.fee_nanos_per_month < paid_nanos:
        return Change(ChangeKind.LATER, subscription.due_at or proration.end_of_month(today),
                      nothing)  # fmt: skip
    due = plan_charges.dues(plan, today, subscription.plan, paid_nanos)
    return Change(ChangeKind.NOW, now, due)


def _paid_now(subscription: Subscription, now: datetime) -> int:
    """Nanos a month that are paid for today: nothing once the time paid for is over, even where no
    worker has begun the next month yet (a minute after midnight, or after a suspension)."""
    is_over = subscription.due_at is not None and subscription.due_at <= now
    return 0 if is_over else subscription.paid_nanos_per_month


def change_plan(organization: Organization, plan: Plan, *, charge_fee: bool = True) -> Subscription:
    """Choose `plan`, as `quote` says; gateways learn of a new one when this commits.

    `charge_fee=False` is the operator's change: at once, and free for as long as it lasts.
    Raises `ledger.InsufficientFunds`, and then nothing has changed.
    """
    with transaction.atomic():
        subscription = lock(organization)
        if not charge_fee:
            return _give(subscription, plan)
        change = quote(subscription, plan)
        match change.kind:
            case ChangeKind.KEEP:
                _keep(subscription)
            case ChangeKind.LATER:
                _schedule(subscription, plan)
            case ChangeKind.TRIAL:
                _try(subscription, plan)
            case ChangeKind.NOW | ChangeKind.PAY:
                plan_charges.charge(organization, plan, change.dues)
                settle(subscription, plan, change.dues)
    return subscription


def lock(organization: Organization) -> Subscription:
    """The subscription, this transaction's alone."""
    return (
        Subscription.objects.select_for_update(of=("self",))
        .select_related("plan", "next_plan")
        .get(organization=organization)
    )


def settle(subscription: Subscription, plan: Plan, dues: Dues) -> None:
    """The organization is on `plan`, and has paid `dues` for the rest of that month."""
    fee_nanos = plan.fee_nanos_per_month
    subscription.paid_nanos_per_month = fee_nanos
    subscription.is_fee_waived = False
    subscription.due_at = proration.end_of_month(dues.first_day) if fee_nanos else None
    put(subscription, plan)


def put(subscription: Subscription, plan: Plan) -> None:
    """On `plan` from now, with nothing owed, tried or scheduled; the caller has said what is paid
    and when a worker looks next."""
    before = subscription.plan
    if before.pk != plan.pk:
        subscription.plan = plan
        subscription.started_at = timezone.now()
        notices.plan_changed(subscription.organization, before, plan)
        audit.record("plan.changed", subscription.organization, plan.name, before=before.name)
    subscription.next_plan = None
    subscription.trial_ends_at = None
    subscription.owed_from = None
    subscription.tries = 0
    subscription.save()


def _give(subscription: Subscription, plan: Plan) -> Subscription:
    subscription.paid_nanos_per_month = 0
    subscription.is_fee_waived = plan.fee_nanos_per_month > 0
    subscription.due_at = None
    put(subscription, plan)
    return subscription


def _keep(subscription: Subscription) -> None:
    if subscription.next_plan is not None:
        dropped = subscription.next_plan.name
        subscription.next_plan = None
        subscription.save(update_fields=["next_plan"])
        audit.record("plan.kept", subscription.organization, dropped)


def _schedule(subscription: Subscription, plan: Plan) -> None:
    if subscription.next_plan_id != plan.pk:
        subscription.next_plan = plan
        subscription.save(update_fields=["next_plan"])
        audit.record("plan.scheduled", subscription.organization, plan.name)


def _try(subscription: Subscription, plan: Plan) -> None:
    now = timezone.now()
    subscription.paid_nanos_per_month = 0
    subscription.is_fee_waived = False
    put(subscription, plan)
    subscription.trial_started_at = now
    subscription.due_at = subscription.trial_ends_at = now + timedelta(days=plan.trial_days)
    subscription.save(update_fields=["trial_started_at", "trial_ends_at", "due_at"])
