"""Charging a plan: the fee's transfer, the included credit's, and what each was for."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db import transaction

from accounts.models import Organization
from billing import ledger, proration
from billing.models import Plan, PlanCharge, PlanChargeKind, Transfer, TransferKind

_MILLISECONDS_BIT = 80  # of a UUIDv7: the time stands above it


@dataclass(frozen=True, slots=True)
class Dues:
    """What a plan costs and gives from `first_day` until the month's end, in nanos."""

    first_day: date
    fee_nanos: int
    credit_nanos: int


def dues(plan: Plan, first_day: date, paid: Plan | None = None, paid_nanos: int = 0) -> Dues:
    """The plan from `first_day` on. Where a plan is `paid` for these days already, at
    `paid_nanos` a month: only what the dearer one costs and gives above it."""
    given = paid.included_credit_nanos if paid and paid_nanos else 0
    return Dues(
        first_day,
        proration.share(max(plan.fee_nanos_per_month - paid_nanos, 0), first_day),
        proration.share(max(plan.included_credit_nanos - given, 0), first_day),
    )


def charge(organization: Organization, plan: Plan, due: Dues) -> None:
    """Take the fee, give the credit. Raises `ledger.InsufficientFunds`: then nothing moved.

    The caller holds the subscription's lock, which makes it happen once. Who chose the plan is in
    the audit log: a transfer is never edited, so it names nobody.
    """
    wallet = ledger.open_wallet(organization)
    days = f"{due.first_day} to {proration.last_day(due.first_day)}"
    with transaction.atomic():
        if due.fee_nanos:
            moved = ledger.debit(
                wallet,
                due.fee_nanos,
                kind=TransferKind.PLAN_FEE,
                reason=f"{plan.name} plan, {days}",
            )
            _note(organization, plan, due, PlanChargeKind.FEE, moved)
        if due.credit_nanos:
            moved = ledger.credit(
                wallet,
                due.credit_nanos,
                kind=TransferKind.PLAN_CREDIT,
                reason=f"Included in {plan.name}, {days}",
            )
            _note(organization, plan, due, PlanChargeKind.CREDIT, moved)


def _note(
    organization: Organization, plan: Plan, due: Dues, kind: PlanChargeKind, moved: Transfer
) -> None:
    # The transfer's own time, so that the month of both is the same.
    seconds = (moved.pk.int >> _MILLISECONDS_BIT) / 1000
    PlanCharge.objects.create(
        organization=organization,
        kind=kind,
        plan_name=plan.name,
        first_day=due.first_day,
        last_day=proration.last_day(due.first_day),
        amount_nanos=moved.amount_nanos,
        transfer_id=moved.pk,
        charged_at=datetime.fromtimestamp(seconds, UTC),
    )
