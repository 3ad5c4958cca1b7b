"""What an organization used, from the rollups: past days per day, the current one per hour.

Never sums raw usage records, so a page costs the same at ten requests and at ten million.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet, Sum

from billing.models import UsageDay, UsageHour
from billing.periods import Period, today

GROUPS = {"model": "model", "project": "project_id", "key": "api_key_id"}
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
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

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
    """Figures per day and per group, with the totals either way."""

    days: list[date]
    cells: dict[tuple[date, Any], Figures] = field(default_factory=dict)
    by_day: dict[date, Figures] = field(default_factory=lambda: defaultdict(Figures))
    by_group: dict[Any, Figures] = field(default_factory=lambda: defaultdict(Figures))
    total: Figures = field(default_factory=Figures)

    def put(self, day: date, group: Any, figures: Figures) -> None:
        for slot in (self.by_day[day], self.by_group[group], self.total):
            slot.add(figures)
        self.cells.setdefault((day, group), Figures()).add(figures)

    def groups(self, measure: str) -> list[Any]:
        """The groups, the largest of `measure` first."""
        size = {group: getattr(figures, measure) for group, figures in self.by_group.items()}
        return sorted(size, key=lambda group: (-size[group], str(group)))


def table(organization_id: int, period: Period, group: str = "model", **filters: Any) -> Table:
    """Usage of `period` by day and by `group` (a key of GROUPS), narrowed by rollup columns."""
    column = GROUPS[group]
    out = Table(period.days)
    for day, name, figures in _rows(organization_id, period.first, period.last, column, filters):
        out.put(day, name, figures)
    return out


def since(organization_id: int, first: date) -> dict[date, Figures]:
    """Figures per day from `first` to today."""
    days: dict[date, Figures] = defaultdict(Figures)
    for day, _name, figures in _rows(organization_id, first, today(), "model", {}):
        days[day].add(figures)
    return days


def total_of(days: dict[date, Figures], first: date) -> Figures:
    total = Figures()
    for day, figures in days.items():
        if day >= first:
            total.add(figures)
    return total


def _rows(
    organization_id: int, first: date, last: date, column: str, filters: dict[str, Any]
) -> Iterator[tuple[date, Any, Figures]]:
    now = today()
    past = UsageDay.objects.filter(
        organization_id=organization_id, day__gte=first, day__lte=min(last, now - timedelta(1))
    )
    for row in _summed(past.filter(**filters), "day", column):
        yield row["day"], row[column], _figures(row)
    if last >= now:
        start = datetime.combine(now, time(), UTC)
        current = UsageHour.objects.filter(organization_id=organization_id, hour__gte=start)
        for row in _summed(current.filter(**filters), None, column):
            yield now, row[column], _figures(row)


def _summed(rows: QuerySet[Any], day: str | None, column: str) -> Iterable[dict[str, Any]]:
    keys = [day, column] if day else [column]
    summed: Iterable[dict[str, Any]] = (
        rows.order_by().values(*keys).annotate(**{f"sum_{name}": Sum(name) for name in _SUMS})
    )
    return summed


def _figures(row: dict[str, Any]) -> Figures:
    return Figures(**{name: int(row[f"sum_{name}"] or 0) for name in _SUMS})
