"""Charts drawn on the server: plain numbers in, positions out; the template writes the SVG.

Horizontal places are percentages, so that one drawing fits every width with its text at its own
size; vertical ones are pixels of a plot of fixed height. No style attributes (the CSP forbids
them): colour comes from a class per series.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from billing import spending
from billing.templatetags.figures import money, tokens

HEIGHT = 220
SERIES_MAX = 8
_OTHER = SERIES_MAX + 1
_LABELS_MAX = 6
_STEPS = ("1", "1.2", "1.6", "2", "2.4", "3", "4", "5", "6", "8", "10")
_TICKS = 4
_GAP_OF_SLOT = 0.28


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of the stack: `values[n]` belongs to the n-th slot."""

    name: str
    values: Sequence[int]
    place: int = 0  # 1..8 picks the colour; 9 is "other"

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Segment:
    place: int
    x: str
    width: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One day: its segments, its hit area, and the sentence that reads it out."""

    label: str
    x: str
    width: str
    centre: str
    segments: tuple[Segment, ...]
    total: str
    parts: tuple[tuple[int, str, str], ...]  # colour, name, shown value

    @property
    def sentence(self) -> str:
        return "; ".join([f"{self.label}: {self.total}", *(f"{n} {v}" for _, n, v in self.parts)])


@dataclass(frozen=True, slots=True)
class Tick:
    y: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    height: int
    slots: tuple[Slot, ...]
    ticks: tuple[Tick, ...]
    labels: tuple[tuple[str, str, str, bool], ...]  # x, anchor, text, shown on a phone
    series: tuple[Series, ...]


def stacked(labels: Sequence[str], series: Sequence[Series], show: Callable[[int], str]) -> Chart:
    """Stacked bars from zero. `show` words a value; series beyond eight are added up as "other"."""
    placed = _fold(series)
    top = _nice_top(
        max((sum(one.values[n] for one in placed) for n in range(len(labels))), default=0)
    )
    slots = tuple(_slot(n, labels, placed, top, show) for n in range(len(labels)))
    ticks = tuple(
        Tick(_px(HEIGHT - HEIGHT * n / _TICKS), show(int(top * n / _TICKS)))
        for n in range(_TICKS + 1)
    )
    return Chart(HEIGHT, slots, ticks, tuple(_labels(labels)), placed)


def of_usage(table: spending.Table, measure: str, names: Mapping[Any, str]) -> Chart | None:
    """Usage per day, stacked by group, in `measure`; None where there is nothing to draw."""
    if not table.total.requests:
        return None
    groups = table.groups(measure)
    room = SERIES_MAX if len(groups) <= SERIES_MAX else SERIES_MAX - 1
    series = [
        Series(
            str(names.get(group, group)), [_value(table, day, group, measure) for day in table.days]
        )
        for group in groups[:room]
    ]
    if groups[room:]:
        # What the day has beyond them: a thousand keys' values need not be looked at for that.
        nothing = spending.Figures()
        totals = [getattr(table.by_day.get(day, nothing), measure) for day in table.days]
        rest = [
            max(total - sum(one.values[n] for one in series), 0) for n, total in enumerate(totals)
        ]
        series.append(Series("other", rest, _OTHER))
    show = money if measure == "charge_nanos" else tokens
    return stacked([f"{day:%b} {day.day}" for day in table.days], series, show)


def _value(table: spending.Table, day: date, group: Any, measure: str) -> int:
    cell = table.cells.get((day, group))
    return int(getattr(cell, measure)) if cell else 0


def _fold(series: Sequence[Series]) -> tuple[Series, ...]:
    """The largest first with a colour each; what does not fit becomes one grey series."""
    ordered = sorted(series, key=lambda one: (one.place == _OTHER, -one.total))
    has_other = any(one.place == _OTHER for one in series)
    room = SERIES_MAX if len(ordered) <= SERIES_MAX and not has_other else SERIES_MAX - 1
    kept = [Series(one.name, one.values, n + 1) for n, one in enumerate(ordered[:room])]
    if rest := ordered[room:]:
        sums = [sum(values) for values in zip(*(one.values for one in rest), strict=True)]
        kept.append(Series("other", sums, _OTHER))
    return tuple(kept)


def _slot(
    n: int, labels: Sequence[str], series: Sequence[Series], top: int, show: Callable[[int], str]
) -> Slot:
    slot = 100 / len(labels)
    gap = slot * _GAP_OF_SLOT
    y = float(HEIGHT)
    segments = []
    for one in series:
        height = HEIGHT * one.values[n] / top
        if one.values[n] <= 0:
            continue
        y -= height
        segments.append(
            Segment(one.place, _pc(slot * n + gap / 2), _pc(slot - gap), _px(y), _px(height))
        )
    parts = tuple((one.place, one.name, show(one.values[n])) for one in series if one.values[n] > 0)
    return Slot(
        label=labels[n],
        x=_pc(slot * n),
        width=_pc(slot),
        centre=_pc(slot * (n + 0.5)),
        segments=tuple(segments),
        total=show(sum(one.values[n] for one in series)),
        parts=parts,
    )


def _labels(labels: Sequence[str]) -> list[tuple[str, str, str, bool]]:
    """At most six along the axis, evenly spread; every other one on a phone."""
    count = len(labels)
    shown = min(count, _LABELS_MAX)
    places = sorted({round(k * (count - 1) / max(1, shown - 1)) for k in range(shown)})
    out = []
    for k, n in enumerate(places):
        anchor = "middle"
        if count > _LABELS_MAX and n == 0:
            anchor = "start"
        if count > _LABELS_MAX and n == count - 1:
            anchor = "end"
        x = {"start": 0.0, "end": 100.0}.get(anchor, 100 / count * (n + 0.5))
        out.append((_pc(x), anchor, labels[n], k in (0, len(places) - 1) or k == len(places) // 2))
    return out


def _nice_top(largest: int) -> int:
    """The smallest round number that holds the largest bar and whose quarters are round too."""
    if largest <= 0:
        return _TICKS
    power = Decimal(10) ** (len(str(largest)) - 1)
    for step in _STEPS:
        top = int(Decimal(step) * power)
        if top >= largest and top >= _TICKS:
            return top
    return largest


def _pc(value: float) -> str:
    return f"{value:.3f}%"


def _px(value: float) -> str:
    return f"{value:.2f}"
