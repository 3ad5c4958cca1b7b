"""Invoices: a month closed once, in lines that recompute from usage records and transfers."""

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Organization
from billing import invoice_issue, invoice_statements, settlements
from billing.invoice_issue import Group, UsageLine
from billing.models import Invoice, PlanCharge, UsageDay

logger = logging.getLogger(__name__)

# A record may be charged this long after its request began (a database that was down for days).
_SETTLED_WITHIN = timedelta(days=31)
# The task waits this long after a month's end, so that commits under way at midnight are in.
_GRACE = timedelta(hours=1)
_INVOICES_PER_COMMIT = 500


class MonthNotOver(Exception):
    """`month` has not ended yet, so it cannot be closed."""

    def __init__(self, month: date) -> None:
        super().__init__(f"{month:%Y-%m} is not over")
        self.month = month


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing a month made, and the organizations refused because the ledger and their
    usage records disagree: those are the operator's to look at, and block nobody else."""

    invoices: list[Invoice]
    refused_organizations: list[int]


def close_month(
    month: date, organization: Organization | None = None, *, allow_current: bool = False
) -> Closing:
    """Invoice everybody (or one organization) who used anything in `month`, or paid for a plan in
    it, and has no invoice yet.

    Running it again makes nothing new. Raises `MonthNotOver`; with `allow_current` a running
    month is closed as of now, and what is used in the rest of it is on no invoice.
    """
    month = month.replace(day=1)
    lower, upper = _bounds(month)
    cutoff = timezone.now()
    if cutoff < upper and not (allow_current and cutoff >= lower):
        raise MonthNotOver(month)
    groups = _groups(month, lower, min(upper, cutoff), organization)
    refused = [group.organization_id for group in groups if not group.is_sound]
    for organization_id in refused:
        logger.error("not invoiced: ledger and usage of organization %s differ", organization_id)
    sound = [group for group in groups if group.is_sound]
    made: list[Invoice] = []
    for start in range(0, len(sound), _INVOICES_PER_COMMIT):
        made += invoice_issue.issue(month, cutoff, sound[start : start + _INVOICES_PER_COMMIT])
    return Closing(made, refused)


def _groups(
    month: date, lower: datetime, upper: datetime, organization: Organization | None
) -> list[Group]:
    """Everybody's lines of the time, by organization."""
    groups: dict[int, Group] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            invoice_statements.LINES,
            {
                "from_id": first_id_charged_at(lower),
                "lower": lower,
                "upper": upper,
                "month": month,
                "organization": organization.pk if organization else None,
            },
        )
        for organization_id, *facts in cursor.fetchall():
            groups.setdefault(organization_id, Group(organization_id)).usage.append(
                UsageLine(*facts)
            )
    charges = _uninvoiced_charges(month, lower, upper)
    if organization:
        charges = charges.filter(organization=organization)
    for charge in charges.order_by("charged_at", "pk"):
        group = groups.setdefault(charge.organization_id, Group(charge.organization_id))
        group.charges.append(charge)
    return [groups[pk] for pk in sorted(groups)]


def _uninvoiced_charges(month: date, lower: datetime, upper: datetime) -> QuerySet[PlanCharge]:
    invoiced = Invoice.objects.filter(month=month).values("organization_id")
    charges = PlanCharge.objects.filter(charged_at__gte=lower, charged_at__lt=upper)
    return charges.exclude(organization_id__in=invoiced)


def close_due_months() -> int:
    """Close the month before this one, once it is an hour over; returns how many invoices.

    The daily sums say cheaply whether anybody is still without one.
    """
    month = (timezone.now() - _GRACE).date().replace(day=1) - timedelta(days=1)
    month = month.replace(day=1)
    lower, upper = _bounds(month)
    invoiced = Invoice.objects.filter(month=month).values("organization_id")
    waiting = UsageDay.objects.filter(day__gte=lower.date(), day__lt=upper.date()).exclude(
        organization_id__in=invoiced
    )
    due = waiting.exists() or _uninvoiced_charges(month, lower, upper).exists()
    return len(close_month(month).invoices) if due else 0


def verify_invoice(invoice: Invoice) -> list[str]:
    """What in the invoice is not what usage records, plan charges and transfers say (of archived
    months: what is kept of them); empty where all agrees."""
    lower, _ = _bounds(invoice.month)
    with connection.cursor() as cursor:
        cursor.execute(
            invoice_statements.DIFFERENCES,
            {
                "from_id": first_id_charged_at(lower),
                "invoice": invoice.pk,
                "from_month": invoice.month,
            },
        )
        return [what for _, what in cursor.fetchall()]


def first_id_charged_at(moment: datetime) -> uuid.UUID:
    """The lowest id of a request that can have been charged at `moment`."""
    beginning = datetime(1970, 1, 1, tzinfo=UTC)
    return settlements.first_id_at(max(moment - _SETTLED_WITHIN, beginning))


def _bounds(month: date) -> tuple[datetime, datetime]:
    lower = datetime(month.year, month.month, 1, tzinfo=UTC)
    return lower, (lower + timedelta(days=32)).replace(day=1)
