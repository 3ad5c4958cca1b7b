"""What an organization used, from the rollups: whole days per day, what is left per hour.

Never sums raw usage records, so a page costs the same at ten requests and at ten million.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from billing.figures import SUMS, Figures
from billing.periods import Period, Slot, Span, midnight, today

__all__ = ["Figures", "Filters", "Table", "table"]

# What usage can be told apart by, as a column of the statement below.
GROUPS = {
    "model": "model",
    "project": "project_id",
    "key": "api_key_id",
    # Who made the key: the only person a request is known by.
    "member": "coalesce(key.created_by_id, 0)",
}
# As many groups as a chart draws.
CELL_GROUPS_MAX = 8
_COLUMNS = f"project_id, api_key_id, model, {', '.join(SUMS)}"
_SUMMED = ", ".join(f"sum({name})::bigint" for name in SUMS)
_DAYS = f"""
SELECT day AS slot_day, NULL::timestamptz AS slot_hour, {_COLUMNS} FROM billing_usageday
WHERE organization_id = %(organization)s AND day >= %(first_day)s AND day < %(end_day)s
"""
_HOURS = f"""
SELECT (hour AT TIME ZONE 'UTC')::date, hour, {_COLUMNS} FROM billing_usagehour
WHERE organization_id = %(organization)s AND hour >= %(first_hour)s AND hour < %(end_hour)s
"""
_KEYS = """
LEFT JOIN accounts_apikey key
    ON key.id = used.api_key_id AND key.organization_id = %(organization)s
"""
_FILTERS = {
    "model": "model = %(model)s",
    "project": "project_id = %(project)s",
    "key": "api_key_id = %(key)s",
    "member": "api_key_id IN (SELECT id FROM accounts_apikey"
    " WHERE organization_id = %(organization)s AND created_by_id = %(member)s)",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Only this model, project, key, or the keys this member made; None means any."""

    model: str | None = None
    project: int | None = None
    key: int | None = None
    member: int | None = None

    def given(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _FILTERS}
        return {name: value for name, value in values.items() if value is not None}


EVERYTHING = Filters()


@dataclass(slots=True)
class Table:
    """Figures per slot (a day or an hour) and per group, the totals, and both at once for the
    largest groups."""

    slots: list[Slot]
    cells: dict[tuple[Slot, Any], Figures] = field(default_factory=dict)
    by_slot: dict[Slot, Figures] = field(default_factory=lambda: defaultdict(Figures))
    by_group: dict[Any, Figures] = field(default_factory=lambda: defaultdict(Figures))
    total: Figures = field(default_factory=Figures)

    def groups(self, measure: str) -> list[Any]:
        """The groups, the largest of `measure` first."""
        size = {group: getattr(figures, measure) for group, figures in self.by_group.items()}
        return sorted(size, key=lambda group: (-size[group], str(group)))


def table(
    organization_id: int,
    period: Period,
    group: str = "model",
    measure: str = "charge_nanos",
    filters: Filters = EVERYTHING,
) -> Table:
    """Usage of `period` by slot and by `group` (a key of GROUPS).

    A thousand keys over ninety days are more cells than a page can show: `cells` has those of
    the groups largest in `measure` only.
    """
    column, slot = GROUPS[group], slot_column(period)
    out = Table(period.slots(timezone.now()))
    for (name,), figures in rows(organization_id, period.span, (column,), filters):
        out.by_group[name].add(figures)
        out.total.add(figures)
    for (at,), figures in rows(organization_id, period.span, (slot,), filters):
        out.by_slot[at].add(figures)
    largest = (column, out.groups(measure)[:CELL_GROUPS_MAX])
    keys = (slot, column)
    out.cells = dict(rows(organization_id, period.span, keys, filters, only=largest))
    return out


def slot_column(period: Period) -> str:
    return "slot_hour" if period.is_hourly else "slot_day"


def by_group(
    organization_id: int, span: Span, group: str, filters: Filters = EVERYTHING
) -> dict[Any, Figures]:
    found = rows(organization_id, span, (GROUPS[group],), filters)
    return {name: figures for (name,), figures in found}


def by_slot(
    organization_id: int, span: Span, slot: str, filters: Filters = EVERYTHING
) -> dict[Slot, Figures]:
    return {at: figures for (at,), figures in rows(organization_id, span, (slot,), filters)}


def total(organization_id: int, span: Span, filters: Filters = EVERYTHING) -> Figures:
    out = Figures()
    for _, figures in rows(organization_id, span, ("0",), filters):
        out.add(figures)
    return out


def total_of(slots: dict[Slot, Figures], first: date) -> Figures:
    """Of the days from `first` on."""
    out = Figures()
    for day, figures in slots.items():
        if day >= first:
            out.add(figures)
    return out


def rows(
    organization_id: int,
    span: Span,
    keys: tuple[str, ...],
    filters: Filters = EVERYTHING,
    *,
    only: tuple[str, list[Any]] | None = None,
) -> Iterator[tuple[tuple[Any, ...], Figures]]:
    """Sums of `span` by `keys`: `slot_day`, `slot_hour`, and values of GROUPS.

    Whole past days are read from the days, the rest from the hours, so that what is a few hours
    costs no more. `only` keeps one column to these values.
    """
    given = filters.given()
    parameters = {"organization": organization_id, **given, **_bounds(span, "slot_hour" in keys)}
    where = "".join(f" AND {_FILTERS[name]}" for name in given)
    condition = ""
    if only is not None:
        condition = f"WHERE {only[0]} = ANY(%(only)s)"
        parameters["only"] = only[1]
    statement = (
        f"SELECT {', '.join(keys)}, {_SUMMED}"
        f" FROM ({_DAYS}{where} UNION ALL {_HOURS}{where}) AS used"
        f" {_KEYS if GROUPS['member'] in keys else ''} {condition}"
        f" GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        for row in cursor.fetchall():
            yield row[: len(keys)], Figures(*row[len(keys) :])


def _bounds(span: Span, by_hour: bool) -> dict[str, date | datetime]:
    """Days until `whole_until`, hours from there."""
    whole_until = min(midnight(span.end.date()), midnight(today()))
    whole_until = span.start if by_hour else max(whole_until, span.start)
    return {
        "first_day": span.start.date(),
        "end_day": whole_until.date(),
        "first_hour": whole_until,
        "end_hour": span.end,
    }
