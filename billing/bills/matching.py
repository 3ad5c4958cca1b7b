"""A bill beside our own usage, day by day and model by model: equal, drifting, or missing.

Reconciled means proven equal: every count that the bill gives is ours exactly, and its cost is ours
to within rounding (a nano for each request here, a unit of its last decimal for each row there).
What a bill does not tell apart (cached from uncached input, reasoning from output) is added up
on our side before it is compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from billing.bills.formats import COUNTS
from billing.models import DayState, ReconciledDay, UpstreamBill
from billing.periods import DAY
from providers.models import Channel

# Records settle up to a month after their request (see billing.invoices).
OPEN_DAYS = 35
_BILLS_MAX = 500
# A day is over, and a little more: workers, and providers too, count it late.
_SETTLES_WITHIN = timedelta(hours=48)

Key = tuple[date, str]


@dataclass(slots=True)
class Side:
    """What one side says of a day and model. None is what it does not know."""

    counts: dict[str, int | None] = field(default_factory=dict)
    cost_nanos: int | None = None
    rows: int = 0

    @property
    def is_empty(self) -> bool:
        return not any(self.counts.values()) and not self.cost_nanos


def compare(bill: UpstreamBill) -> list[ReconciledDay]:
    """Compare anew, and keep the outcome in place of the last one."""
    there, here = _theirs(bill), _ours(bill)
    days = [
        _judge(bill, key, here.get(key, Side()), there.get(key))
        for key in sorted(there.keys() | here.keys())
    ]
    with transaction.atomic():
        ReconciledDay.objects.filter(bill=bill).delete()
        ReconciledDay.objects.bulk_create(days, batch_size=2_000)
        UpstreamBill.objects.filter(pk=bill.pk).update(evaluated_at=timezone.now())
    return days


def compare_open() -> int:
    """Compare every bill again whose days late records may still reach; returns how many."""
    first = timezone.now().date() - timedelta(OPEN_DAYS)
    bills = UpstreamBill.objects.filter(superseded_by=None, last_day__gte=first)
    found = list(bills.order_by("-last_day")[:_BILLS_MAX])
    for bill in found:
        compare(bill)
    return len(found)


def drifting() -> Any:
    """The bills that count, drift above the threshold, and that nobody has accepted."""
    return UpstreamBill.objects.filter(
        superseded_by=None, accepted_at=None, days__is_alarming=True
    ).distinct()


def _theirs(bill: UpstreamBill) -> dict[Key, Side]:
    sums = {f"sum_{name}": Sum(name) for name in (*COUNTS, "cost_nanos", "rows")}
    found = {}
    rows: Any = bill.lines.order_by().values("day", "model").annotate(**sums)
    for row in rows:
        counts = {name: row[f"sum_{name}"] for name in COUNTS}
        side = Side(counts, row["sum_cost_nanos"], row["sum_rows"])
        found[row["day"], row["model"].lower()] = side
    return found


_OURS = f"""
SELECT ((hour AT TIME ZONE 'UTC') + make_interval(hours => %(offset)s))::date AS day,
    lower(upstream_model), sum(metered)::bigint,
    {", ".join(f"sum({name})::bigint" for name in COUNTS[1:])}, sum(cost_nanos)::bigint
FROM billing_upstreamhour
WHERE provider = %(provider)s AND hour >= %(start)s AND hour < %(end)s
    AND (%(channels)s::bigint[] IS NULL OR channel_id = ANY(%(channels)s::bigint[]))
GROUP BY 1, 2
"""


def _ours(bill: UpstreamBill) -> dict[Key, Side]:
    """Of the hours between the bill's first midnight and its last, in its zone. Requests count
    whose tokens are known: those are what a provider bills."""
    parameters: dict[str, Any] = {
        "provider": bill.provider,
        "offset": bill.utc_offset_hours,
        "start": _midnight(bill, bill.first_day),
        "end": _midnight(bill, bill.last_day + DAY),
        "channels": _channels(bill),
    }
    with connection.cursor() as cursor:
        cursor.execute(_OURS, parameters)
        rows = cursor.fetchall()
    found = {}
    for day, model, *counts, cost_nanos in rows:
        side = Side(dict(zip(COUNTS, counts, strict=True)), cost_nanos)
        if not side.is_empty:
            found[day, model] = side
    return found


def _channels(bill: UpstreamBill) -> list[int] | None:
    if not bill.account:
        return None
    mine = Channel.objects.filter(provider__slug=bill.provider, name=bill.account)
    return list(mine.values_list("pk", flat=True))


def _judge(bill: UpstreamBill, key: Key, here: Side, there: Side | None) -> ReconciledDay:
    said = there or Side(dict.fromkeys(COUNTS, 0), 0)
    counts = _alike(here, said) if bill.has_usage else {}
    theirs = {name: said.counts[name] or 0 for name in counts}
    cost_there = (said.cost_nanos or 0) if bill.has_cost else None
    state = _state(here, said, counts == theirs, _costs_agree(bill, here, said))
    is_open = timezone.now() < _midnight(bill, key[0] + DAY) + _SETTLES_WITHIN
    return ReconciledDay(
        bill=bill,
        day=key[0],
        model=key[1],
        state=state,
        is_open=is_open,
        is_alarming=state != DayState.MATCHED
        and not is_open
        and _is_alarming(counts, theirs, here.cost_nanos or 0, cost_there),
        here=counts,
        there=theirs,
        cost_here_nanos=here.cost_nanos or 0,
        cost_there_nanos=cost_there,
    )


def _alike(here: Side, there: Side) -> dict[str, int]:
    """Our counts under the names that the bill has, those it lacks added to their neighbours."""
    ours = {name: here.counts.get(name) or 0 for name in COUNTS}
    for name, neighbour in _NEIGHBOURS.items():
        if there.counts.get(name) is None:
            ours[neighbour] += ours.pop(name)
    return {name: value for name, value in ours.items() if there.counts.get(name) is not None}


_NEIGHBOURS = {
    "cache_write_tokens": "input_tokens",
    "cached_input_tokens": "input_tokens",
    "reasoning_output_tokens": "output_tokens",
}


def _costs_agree(bill: UpstreamBill, here: Side, there: Side) -> bool:
    if not bill.has_cost:
        return True
    allowed = (here.counts.get("requests") or 0) + bill.cost_step_nanos * max(there.rows, 1)
    return abs((here.cost_nanos or 0) - (there.cost_nanos or 0)) <= allowed


def _state(here: Side, there: Side, counts_agree: bool, costs_agree: bool) -> DayState:
    if counts_agree and costs_agree:
        return DayState.MATCHED
    if here.is_empty:
        return DayState.MISSING_HERE
    if there.is_empty:
        return DayState.MISSING_THERE
    return DayState.DRIFT


def _is_alarming(
    here: Mapping[str, int], there: Mapping[str, int], cost_here: int, cost_there: int | None
) -> bool:
    """Money tells, where the bill has it; tokens where it has none."""
    if cost_there is not None:
        apart = abs(cost_here - cost_there)
        return apart >= settings.RECONCILIATION_ALARM_NANOS and _is_above(
            apart, max(cost_here, cost_there)
        )
    return _is_above(
        sum(abs(here[name] - there[name]) for name in here),
        sum(max(here[name], there[name]) for name in here),
    )


def _is_above(apart: int, whole: int) -> bool:
    return apart * 1_000_000 > whole * settings.RECONCILIATION_ALARM_PPM


def _midnight(bill: UpstreamBill, day: date) -> datetime:
    return datetime.combine(day, time(), UTC) - timedelta(hours=bill.utc_offset_hours)


def states(bills: Iterable[UpstreamBill]) -> dict[int, dict[str, int]]:
    """How many days and models of each bill are in each state."""
    found: dict[int, dict[str, int]] = {bill.pk: {} for bill in bills}
    rows = ReconciledDay.objects.filter(bill__in=found).order_by().values("bill_id", "state")
    for row in rows.annotate(n=Count("pk")):
        found[row["bill_id"]][row["state"]] = row["n"]
    return found
