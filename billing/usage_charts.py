"""Usage as a chart: stacked by group over days or hours, with the period before as dashes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing import spending
from billing.charts import OTHER, SERIES_MAX, Chart, Series, Show, stacked
from billing.figures import Figures
from billing.periods import DAY, HOUR, Slot, Span
from billing.templatetags.figures import money, tokens


def make(
    table: spending.Table,
    measure: str,
    names: Mapping[Any, str],
    before: tuple[Span, Mapping[Slot, Figures]] | None = None,
) -> Chart | None:
    """`table` in `measure`, the largest groups each in a colour; None where there is nothing."""
    if not table.total.requests:
        return None
    groups = table.groups(measure)
    room = SERIES_MAX if len(groups) <= SERIES_MAX else SERIES_MAX - 1
    series = [
        Series(
            str(names.get(group, group)),
            [_value(table, slot, group, measure) for slot in table.slots],
        )
        for group in groups[:room]
    ]
    if groups[room:]:
        # What the slot has beyond them: a thousand keys' values need not be looked at for that.
        nothing = Figures()
        totals = [getattr(table.by_slot.get(slot, nothing), measure) for slot in table.slots]
        rest = [
            max(total - sum(one.values[n] for one in series), 0) for n, total in enumerate(totals)
        ]
        series.append(Series(_("other"), rest, OTHER))
    labels = [label(slot) for slot in table.slots]
    earlier = _aligned(before, measure, len(labels)) if before else ()
    return stacked(labels, series, shown_as(measure), earlier)


def shown_as(measure: str) -> Show:
    return money if measure == "charge_nanos" else tokens


def label(slot: Slot) -> str:
    day = date_format(slot, _("M j"))  # a date format: month, day
    return f"{day} {slot:%H:%M}" if isinstance(slot, datetime) else day


def _aligned(before: tuple[Span, Mapping[Slot, Figures]], measure: str, count: int) -> list[int]:
    """The earlier values, the n-th slot's beside the n-th; as many as that period has."""
    span, found = before
    values = [0] * count
    for slot, figures in found.items():
        if isinstance(slot, datetime):
            place = (slot - span.start) // HOUR
        else:
            place = (slot - span.start.date()) // DAY
        if 0 <= place < count:
            values[place] = getattr(figures, measure)
    step = HOUR if any(isinstance(slot, datetime) for slot in found) else DAY
    reach = -(-(span.end - span.start) // step)
    return values[:reach]


def _value(table: spending.Table, slot: Slot, group: Any, measure: str) -> int:
    cell = table.cells.get((slot, group))
    return int(getattr(cell, measure)) if cell else 0
