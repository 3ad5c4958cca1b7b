"""Invoices: a month closed once, in lines that recompute from usage records and transfers."""

import itertools
import logging
import operator
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Organization, Project
from billing import settlements
from billing.models import Invoice, InvoiceLine, UsageDay

logger = logging.getLogger(__name__)

# A record may be charged this long after its request began (a database that was down for days).
_SETTLED_WITHIN = timedelta(days=31)
# The task waits this long after a month's end, so that commits under way at midnight are in.
_GRACE = timedelta(hours=1)
_INVOICES_PER_COMMIT = 500
# Any number will do, as long as nothing else locks it: numbers are drawn one at a time.
_NUMBER_LOCK = 0x7474_6F6E_6B69

_SUMS = """
    count(*) AS requests,
    sum(u.input_tokens + u.cached_input_tokens + u.cache_write_tokens)::bigint AS input_tokens,
    sum(u.output_tokens + u.reasoning_output_tokens)::bigint AS output_tokens,
    sum(u.charge_nanos - coalesce(b.loss, 0))::bigint AS amount_nanos,
    sum(coalesce(t.amount_nanos, 0) + coalesce(b.excess, 0))::bigint AS paid_nanos
"""
_BOOKED = """
    LEFT JOIN billing_transfer t
        ON t.id = u.id AND t.id >= %(from_id)s AND t.state = 'posted'
    LEFT JOIN beside b ON b.id = u.id
"""

_LINES = f"""
WITH {settlements.BESIDE}
SELECT u.organization_id, coalesce(u.project_id, 0) AS project_id, u.model, {_SUMS}
FROM billing_usagerecord u {_BOOKED}
WHERE u.id >= %(from_id)s AND u.charged_at >= %(lower)s AND u.charged_at < %(upper)s
  AND (%(organization)s::bigint IS NULL OR u.organization_id = %(organization)s)
  AND NOT EXISTS (SELECT FROM billing_invoice i
                  WHERE i.organization_id = u.organization_id AND i.month = %(month)s)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

# Every line that is not what the records and transfers say (of archived ones: what is kept of
# them), and every total that is not the sum.
DIFFERENCES = f"""
WITH {settlements.BESIDE}, chosen AS (
    SELECT id, number, organization_id, total_nanos,
        month::timestamp AT TIME ZONE 'UTC' AS lower,
        least((month + interval '1 month') AT TIME ZONE 'UTC', finalized_at) AS upper
    FROM billing_invoice
    WHERE (%(number)s::bigint IS NULL OR number = %(number)s) AND month >= %(from_month)s
), live AS (
    SELECT i.id AS invoice_id, coalesce(u.project_id, 0) AS project_id, u.model, {_SUMS}
    FROM chosen i JOIN billing_usagerecord u
        ON u.organization_id = i.organization_id AND u.id >= %(from_id)s
        AND u.charged_at >= i.lower AND u.charged_at < i.upper
    {_BOOKED}
    GROUP BY 1, 2, 3
), used AS (
    SELECT invoice_id, project_id, model, sum(requests) AS requests,
        sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
        sum(amount_nanos) AS amount_nanos, sum(paid_nanos) AS paid_nanos
    FROM (
        SELECT * FROM live
        UNION ALL
        SELECT invoice_id, project_id, model, requests,
            input_tokens + cached_input_tokens + cache_write_tokens,
            output_tokens + reasoning_output_tokens, charge_nanos - loss_nanos, paid_nanos
        FROM billing_archivedusage WHERE invoice_id IN (SELECT id FROM chosen)
    ) AS part GROUP BY 1, 2, 3
), line AS (
    SELECT l.* FROM billing_invoiceline l JOIN chosen ON chosen.id = l.invoice_id
)
SELECT chosen.number, 'line ' || line_or_use.model || ' of project ' || line_or_use.project_id
FROM (
    SELECT invoice_id, project_id, model FROM line FULL JOIN used
        USING (invoice_id, project_id, model)
    WHERE (line.requests, line.input_tokens, line.output_tokens, line.amount_nanos,
           line.amount_nanos)
        IS DISTINCT FROM
          (used.requests, used.input_tokens, used.output_tokens, used.amount_nanos,
           used.paid_nanos)
) line_or_use JOIN chosen ON chosen.id = line_or_use.invoice_id
UNION ALL
SELECT chosen.number, 'total' FROM chosen
WHERE total_nanos <>
    (SELECT coalesce(sum(amount_nanos), 0) FROM line WHERE line.invoice_id = chosen.id)
"""


class MonthNotOver(Exception):
    """`month` has not ended yet, so it cannot be closed."""

    def __init__(self, month: date) -> None:
        super().__init__(f"{month:%Y-%m} is not over")
        self.month = month


@dataclass(frozen=True, slots=True)
class _Line:
    organization_id: int
    project_id: int
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    amount_nanos: int
    paid_nanos: int


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing a month made, and the organizations refused because the ledger and their
    usage records disagree: those are the operator's to look at, and block nobody else."""

    invoices: list[Invoice]
    refused_organizations: list[int]


def close_month(
    month: date, organization: Organization | None = None, *, allow_current: bool = False
) -> Closing:
    """Invoice everybody (or one organization) who used anything in `month` and has no invoice yet.

    Running it again makes nothing new. Raises `MonthNotOver`; with `allow_current` a running
    month is closed as of now, and what is used in the rest of it is on no invoice.
    """
    month = month.replace(day=1)
    lower, upper = _bounds(month)
    cutoff = timezone.now()
    if cutoff < upper and not (allow_current and cutoff >= lower):
        raise MonthNotOver(month)
    with connection.cursor() as cursor:
        cursor.execute(
            _LINES,
            {
                "from_id": first_id_charged_at(lower),
                "lower": lower,
                "upper": min(upper, cutoff),
                "month": month,
                "organization": organization.pk if organization else None,
            },
        )
        lines = [_Line(*row) for row in cursor.fetchall()]
    groups = [list(group) for _, group in itertools.groupby(lines, _organization_id)]
    sound: list[list[_Line]] = []
    refused: list[int] = []
    for group in groups:
        if all(line.amount_nanos == line.paid_nanos for line in group):
            sound.append(group)
        else:
            refused.append(group[0].organization_id)
    for organization_id in refused:
        logger.error("not invoiced: ledger and usage of organization %s differ", organization_id)
    made: list[Invoice] = []
    for start in range(0, len(sound), _INVOICES_PER_COMMIT):
        made += _issue(month, cutoff, sound[start : start + _INVOICES_PER_COMMIT])
    return Closing(made, refused)


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
    return len(close_month(month).invoices) if waiting.exists() else 0


def verify_invoice(number: int) -> list[str]:
    """What in the invoice is not what usage records and transfers say; empty where all agrees.

    Raises Invoice.DoesNotExist.
    """
    invoice = Invoice.objects.get(number=number)
    lower, _ = _bounds(invoice.month)
    with connection.cursor() as cursor:
        cursor.execute(
            DIFFERENCES,
            {
                "from_id": first_id_charged_at(lower),
                "number": number,
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


_organization_id = operator.attrgetter("organization_id")


def _issue(month: date, cutoff: datetime, groups: list[list[_Line]]) -> list[Invoice]:
    """Draw the next numbers and write the invoices, in one commit: a number lost is a gap."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NUMBER_LOCK])
        done = set(
            Invoice.objects.filter(
                month=month, organization_id__in=[group[0].organization_id for group in groups]
            ).values_list("organization_id", flat=True)
        )
        groups = [group for group in groups if group[0].organization_id not in done]
        last = Invoice.objects.order_by("-number").values_list("number", flat=True).first() or 0
        made = Invoice.objects.bulk_create(
            Invoice(
                number=number,
                organization_id=group[0].organization_id,
                month=month,
                total_nanos=sum(line.amount_nanos for line in group),
                finalized_at=cutoff,
            )
            for number, group in enumerate(groups, start=last + 1)
        )
        names = _project_names(line.project_id for group in groups for line in group)
        InvoiceLine.objects.bulk_create(
            InvoiceLine(invoice=invoice, **_line_fields(line, names))
            for invoice, group in zip(made, groups, strict=True)
            for line in group
        )
    return made


def _project_names(project_ids: Iterable[int]) -> dict[int, str]:
    rows = Project.objects.filter(pk__in=set(project_ids)).values_list("pk", "name")
    return dict(rows)


def _line_fields(line: _Line, project_names: dict[int, str]) -> dict[str, Any]:
    return {
        "project_id": line.project_id,
        "project_name": project_names.get(line.project_id, "Deleted project"),
        "model": line.model,
        "requests": line.requests,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "amount_nanos": line.amount_nanos,
    }
