"""Revenue, cost and margin over a period, from the sums per day: by model, channel, day and
customer; and what the operator lost, by day and cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, F, Q, Sum
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from billing import ids, invoices
from billing.charts import NOTHING
from billing.models import CostDay, DayState, OrganizationDay, ReconciledDay, TransferKind
from billing.periods import CHOICES, Period, parse, today
from providers.models import Channel

CUSTOMERS_MAX = 20
_KEPT_SECONDS = 60
_KEPT_WHEN_OVER_SECONDS = 600
_KEPT_BY_WORKER_SECONDS = 900
_CAUSES = {
    "above": _("Charged above what was held, and the balance was empty"),
    "late": _("Delivered after a gateway was lost"),
    "refund": _("Refunded beyond the balance"),
    "dispute": _("Disputed payments"),
}
_SUMS = ("requests", "errors", "unrated", "charge_nanos", "cost_nanos")


@dataclass(frozen=True, slots=True)
class Line:
    """One model, channel, day or customer, or all together."""

    name: str = ""
    pk: int = 0
    requests: int = 0
    errors: int = 0
    unrated: int = 0  # requests whose cost is not known, and not in `cost_nanos`
    charge_nanos: int = 0
    cost_nanos: int = 0
    untold: int = 0  # requests that reached an upstream and left no count of their tokens

    @property
    def margin_nanos(self) -> int:
        return self.charge_nanos - self.cost_nanos

    @property
    def margin_percent(self) -> float | None:
        """Of the revenue; None without any."""
        return 100 * self.margin_nanos / self.charge_nanos if self.charge_nanos else None

    @property
    def errors_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Loss:
    """What of one day's charges, refunds and disputes nobody paid, for one cause. Negative where
    a dispute was won back."""

    day: date
    kind: str  # a key of _CAUSES
    count: int
    amount_nanos: int

    @property
    def cause(self) -> str:
        """In the reader's language: a report may have been read by a worker."""
        return str(_CAUSES[self.kind])


@dataclass(frozen=True, slots=True)
class Report:
    total: Line = field(default_factory=Line)
    models: Sequence[Line] = ()
    channels: Sequence[Line] = ()
    days: Sequence[Line] = ()  # every day of the period, the first first
    customers: Sequence[Line] = ()  # those with the most revenue
    losses: Sequence[Loss] = ()
    # Days on bills that count: whether all of each is reconciled with our usage.
    billed: Mapping[date, bool] = field(default_factory=dict)

    @property
    def loss_nanos(self) -> int:
        return sum(one.amount_nanos for one in self.losses)


def read(period: Period) -> Report:
    """What a worker has kept of the period, else read now and kept for a while."""
    known: Report | None = cache.get(_key(period))
    if known is None:
        known = _read(period)
        is_over = period.last < today()
        cache.set(_key(period), known, _KEPT_WHEN_OVER_SECONDS if is_over else _KEPT_SECONDS)
    return known


def keep() -> int:
    """Read the periods that pages offer anew, so that no page waits for sums over many customers;
    returns how many. A worker does it every few minutes."""
    for key, _label in CHOICES:
        period = parse(key)
        cache.set(_key(period), _read(period), _KEPT_BY_WORKER_SECONDS)
    return len(CHOICES)


def _key(period: Period) -> str:
    return f"margins:{period.first}:{period.last}"


def total(first: date, last: date) -> Line:
    """All there was from `first` to `last`."""
    return _together(_lines(_of(CostDay.objects, first, last), "provider"))


def _read(period: Period) -> Report:
    rows = _of(CostDay.objects, period.first, period.last)
    by_day = {one.name: one for one in _lines(rows, "day")}
    return Report(
        total=_together(by_day.values()),
        models=_largest(_lines(rows, "model")),
        channels=_largest(_channels(rows)),
        days=[by_day.get(str(day), Line(str(day))) for day in period.days],
        customers=_customers(period),
        losses=_losses(period),
        billed=_billed(period),
    )


def _of(rows: Any, first: date, last: date) -> Any:
    return rows.filter(day__gte=first, day__lte=last).order_by()


def _lines(rows: Any, name: str) -> list[Line]:
    """One for each value of a column."""
    sums = {f"sum_{one}": Sum(one) for one in (*_SUMS, "untold")}
    return [
        Line(str(row["key"]), 0, *(row[one] for one in sums))
        for row in rows.values(key=F(name)).annotate(**sums)
    ]


def _channels(rows: Any) -> list[Line]:
    """Channels that are gone are called by what they were for."""
    sums = {f"sum_{one}": Sum(one) for one in (*_SUMS, "untold")}
    found = list(rows.values("provider", "channel_id", "model").annotate(**sums))
    known = {
        channel.pk: str(channel)
        for channel in Channel.objects.filter(
            pk__in={row["channel_id"] for row in found}
        ).select_related("provider", "model")
    }
    return [
        Line(
            known.get(row["channel_id"]) or _gone(row),
            row["channel_id"] if row["channel_id"] in known else 0,
            *(row[one] for one in sums),
        )
        for row in found
    ]


def _gone(row: dict[str, Any]) -> str:
    return f"{row['model']} via {row['provider'] or NOTHING}"


def _customers(period: Period) -> list[Line]:
    sums = {f"sum_{one}": Sum(one) for one in _SUMS}
    rows = _of(OrganizationDay.objects, period.first, period.last)
    found = list(
        rows.values("organization_id")
        .annotate(**sums)
        .order_by("-sum_charge_nanos")[:CUSTOMERS_MAX]
    )
    names = Organization.objects.in_bulk([row["organization_id"] for row in found])
    return [
        Line(
            str(names.get(row["organization_id"], row["organization_id"])),
            row["organization_id"],
            *(row[one] for one in sums),
        )
        for row in found
    ]


def _billed(period: Period) -> dict[date, bool]:
    """A bill's day begins where the bill says, which may be some hours from UTC's."""
    days = ReconciledDay.objects.filter(
        bill__superseded_by=None, day__gte=period.first, day__lte=period.last
    )
    unmatched = Count("pk", filter=~Q(state=DayState.MATCHED))
    rows: Any = days.order_by().values("day").annotate(unmatched=unmatched)
    return {row["day"]: not row["unmatched"] for row in rows}


# Transfers out of the operator's loss account, and back into it where a dispute was won. Ids are
# their requests', which may have begun a month before what is booked for them.
_LOSSES = """
WITH loss AS (SELECT id FROM billing_account WHERE kind = 'operator_loss'), moved AS (
    SELECT created_at, kind, id, amount_nanos FROM billing_transfer
    WHERE debit_account_id = (SELECT id FROM loss) AND id >= %(from_id)s AND state = 'posted'
        AND kind <> 'usage'
    UNION ALL
    SELECT created_at, kind, id, -amount_nanos FROM billing_transfer
    WHERE credit_account_id = (SELECT id FROM loss) AND id >= %(from_id)s AND state = 'posted'
        AND kind <> 'usage'
)
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, kind, get_byte(uuid_send(id), 15) & 3 AS part,
    count(*), sum(amount_nanos)::bigint
FROM moved WHERE created_at >= %(start)s AND created_at < %(end)s
GROUP BY day, kind, part
ORDER BY day DESC, kind, part
"""


def _losses(period: Period) -> list[Loss]:
    span = period.span
    bounds: dict[str, Any] = {
        "from_id": invoices.first_id_charged_at(span.start),
        "start": span.start,
        "end": span.end,
    }
    found: dict[tuple[date, str], Loss] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LOSSES, bounds)
        for day, kind, part, count, amount in cursor.fetchall():
            cause = _cause(kind, part)
            known = found.get((day, cause), Loss(day, cause, 0, 0))
            found[day, cause] = replace(
                known, count=known.count + count, amount_nanos=known.amount_nanos + amount
            )
    return list(found.values())


def _cause(kind: str, part: int) -> str:
    if kind == TransferKind.USAGE_LOSS:
        return "late" if part == ids.LATE else "above"
    return "refund" if kind == TransferKind.REFUND else "dispute"


def _largest(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda one: (-one.charge_nanos, -one.cost_nanos, one.name))


def _together(lines: Iterable[Line]) -> Line:
    sums = [one.name for one in fields(Line)[2:]]
    lines = list(lines)
    return Line("", 0, *(sum(getattr(one, name) for one in lines) for name in sums))
