"""What an organization used, from the rollups: past days per day, the current one per hour.

Never sums raw usage records, so a page costs the same at ten requests and at ten million.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet, Sum

from billing.models import UsageDay, UsageHour
from billing.periods import Period, today

GROUPS = {"model": "model", "project": "project_id", "key": "api_key_id"}
# As many groups as a chart draws.
CELL_GROUPS_MAX = 8
# In the order of the fields of `Figures`.
_SUMS = (
    "requests",
    "errors",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "charge_nanos",
)


@dataclass(slots=True)
class Figures:
    """Sums over some slice of usage."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    charge_nanos: int = 0

    def add(self, other: "Figures") -> None:
        # Written out: a customer's ninety days are tens of thousands of these.
        self.requests += other.requests
        self.errors += other.errors
        self.input_tokens += other.input_tokens
        self.cached_input_tokens += other.cached_input_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.output_tokens += other.output_tokens
        self.reasoning_output_tokens += other.reasoning_output_tokens
        self.charge_nanos += other.charge_nanos

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def completion_tokens(self) -> int:
        return self.output_tokens + self.reasoning_output_tokens

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def errors_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Table:
    """Figures per day and per group, the totals, and both at once for the largest groups."""

    days: list[date]
    cells: dict[tuple[date, Any], Figures] = field(default_factory=dict)
    by_day: dict[date, Figures] = field(default_factory=lambda: defaultdict(Figures))
    by_group: dict[Any, Figures] = field(default_factory=lambda: defaultdict(Figures))
    total: Figures = field(default_factory=Figures)

    def groups(self, measure: str) -> list[Any]:
        """The groups, the largest of `measure` first."""
        size = {group: getattr(figures, measure) for group, figures in self.by_group.items()}
        return sorted(size, key=lambda group: (-size[group], str(group)))


def table(
    organization_id: int, period: Period, group: str = "model", measure: str = "charge_nanos"
) -> Table:
    """Usage of `period` by day and by `group` (a key of GROUPS).

    A thousand keys over ninety days are more cells than a page can show: `cells` has those of
    the groups largest in `measure` only.
    """
    column = GROUPS[group]
    out = Table(period.days)
    for (name,), figures in _rows(organization_id, period, column):
        out.by_group[name].add(figures)
        out.total.add(figures)
    for (day,), figures in _rows(organization_id, period, "day"):
        out.by_day[day].add(figures)
    largest = out.groups(measure)[:CELL_GROUPS_MAX]
    narrowed = {f"{column}__in": largest}
    out.cells = dict(_rows(organization_id, period, "day", column, **narrowed))
    return out


def total_of(days: dict[date, Figures], first: date) -> Figures:
    total = Figures()
    for day, figures in days.items():
        if day >= first:
            total.add(figures)
    return total


def _rows(
    organization_id: int, period: Period, *keys: str, **filters: Any
) -> Iterator[tuple[tuple[Any, ...], Figures]]:
    """Sums by `keys` ("day" and rollup columns): of the past days, then of today's hours."""
    now = today()
    past = UsageDay.objects.filter(
        organization_id=organization_id,
        day__gte=period.first,
        day__lte=min(period.last, now - timedelta(1)),
        **filters,
    )
    for values, figures in _summed(past, keys):
        yield values, figures
    if period.last >= now:
        start = datetime.combine(now, time(), UTC)
        current = UsageHour.objects.filter(
            organization_id=organization_id, hour__gte=start, **filters
        )
        # An hour's row has no day, and all of them are today's. There is one organization.
        columns = [key if key != "day" else "organization_id" for key in keys]
        for values, figures in _summed(current, columns):
            pairs = zip(keys, values, strict=True)
            yield tuple(now if key == "day" else value for key, value in pairs), figures


def _summed(rows: QuerySet[Any], keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], Figures]]:
    sums = {f"sum_{name}": Sum(name) for name in _SUMS}
    for row in rows.order_by().values(*keys).annotate(**sums).values_list(*keys, *sums):
        yield row[: len(keys)], Figures(*map(int, row[len(keys) :]))
