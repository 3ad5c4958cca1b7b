"""Charts drawn on the server: plain numbers in, positions out; the template writes the SVG.

Horizontal places are percentages, so that one drawing fits every width with its text at its own
size; vertical ones are pixels of a plot of fixed height. No style attributes (the CSP forbids
them): colour comes from a class per series.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

Show = Callable[[int], str]
NOTHING = "–"
HEIGHT = 220
SERIES_MAX = 8
OTHER = SERIES_MAX + 1
_LABELS_MAX = 7
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
class Point:
    place: int
    x: str
    y: str


@dataclass(frozen=True, slots=True)
class Stroke:
    """One step of a line, from a slot's centre to the next one's."""

    place: int
    x1: str
    y1: str
    x2: str
    y2: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the slot's total was before: a dash across the slot."""

    x1: str
    x2: str
    y: str
    shown: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One day or hour: what is drawn, its hit area, and what reads it out."""

    label: str
    x: str
    width: str
    total: str  # empty where the parts do not add up (latencies)
    cells: tuple[str, ...]  # every series' value, as a table shows it
    parts: tuple[tuple[int, str, str], ...]  # colour, name, shown value
    segments: tuple[Segment, ...] = ()
    points: tuple[Point, ...] = ()
    before: Mark | None = None


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
    strokes: tuple[Stroke, ...] = ()

    @property
    def has_totals(self) -> bool:
        return not self.strokes and not any(slot.points for slot in self.slots)


def stacked(
    labels: Sequence[str],
    series: Sequence[Series],
    show: Show,
    before: Sequence[int] = (),
) -> Chart:
    """Stacked bars from zero. `show` words a value; series beyond eight are added up as "other".
    `before` has what the totals of the first slots were in the period before."""
    placed = _fold(series)
    totals = [sum(one.values[n] for one in placed) for n in range(len(labels))]
    top = _nice_top(max((*totals, *before), default=0))
    slots = tuple(_slot(n, labels, placed, top, show, before) for n in range(len(labels)))
    return Chart(HEIGHT, slots, _ticks(top, show), tuple(_labels(labels)), placed)


def lines(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[int | None]]], show: Show
) -> Chart:
    """A line per series from zero, broken where there is no value."""
    top = _nice_top(max((value or 0 for _, values in series for value in values), default=0))
    count = len(labels)
    points = {
        (place, n): Point(place, _pc(100 / count * (n + 0.5)), _px(HEIGHT - HEIGHT * value / top))
        for place, (_, values) in enumerate(series, 1)
        for n, value in enumerate(values)
        if value is not None
    }
    strokes = tuple(
        Stroke(place, start.x, start.y, end.x, end.y)
        for (place, n), start in points.items()
        if (end := points.get((place, n + 1)))
    )
    slots = tuple(_line_slot(n, labels, series, points, show) for n in range(count))
    named = tuple(Series(name, (), place) for place, (name, _) in enumerate(series, 1))
    return Chart(HEIGHT, slots, _ticks(top, show), tuple(_labels(labels)), named, strokes)


def _line_slot(
    n: int,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[int | None]]],
    points: Mapping[tuple[int, int], Point],
    show: Show,
) -> Slot:
    slot = 100 / len(labels)
    values = [values[n] for _, values in series]
    shown = [NOTHING if value is None else show(value) for value in values]
    return Slot(
        label=labels[n],
        x=_pc(slot * n),
        width=_pc(slot),
        points=tuple(
            points[place, n] for place in range(1, len(series) + 1) if (place, n) in points
        ),
        total="",
        cells=tuple(shown),
        parts=tuple(
            (place, name, shown[place - 1])
            for place, (name, _) in enumerate(series, 1)
            if values[place - 1] is not None
        ),
    )


def _ticks(top: int, show: Show) -> tuple[Tick, ...]:
    return tuple(
        Tick(_px(HEIGHT - HEIGHT * n / _TICKS), show(int(top * n / _TICKS)))
        for n in range(_TICKS + 1)
    )


def _fold(series: Sequence[Series]) -> tuple[Series, ...]:
    """The largest first with a colour each; what does not fit becomes one grey series."""
    ordered = sorted(series, key=lambda one: (one.place == OTHER, -one.total))
    has_other = any(one.place == OTHER for one in series)
    room = SERIES_MAX if len(ordered) <= SERIES_MAX and not has_other else SERIES_MAX - 1
    kept = [Series(one.name, one.values, n + 1) for n, one in enumerate(ordered[:room])]
    if rest := ordered[room:]:
        sums = [sum(values) for values in zip(*(one.values for one in rest), strict=True)]
        kept.append(Series(_("other"), sums, OTHER))
    return tuple(kept)


def _slot(
    n: int,
    labels: Sequence[str],
    series: Sequence[Series],
    top: int,
    show: Show,
    before: Sequence[int],
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
    mark = None
    if n < len(before):
        at = _px(HEIGHT - HEIGHT * before[n] / top)
        mark = Mark(_pc(slot * n + gap / 4), _pc(slot * (n + 1) - gap / 4), at, show(before[n]))
    return Slot(
        label=labels[n],
        x=_pc(slot * n),
        width=_pc(slot),
        total=show(sum(one.values[n] for one in series)),
        cells=tuple(show(one.values[n]) for one in series),
        parts=tuple(
            (one.place, one.name, show(one.values[n])) for one in series if one.values[n] > 0
        ),
        segments=tuple(segments),
        before=mark,
    )


def _labels(labels: Sequence[str]) -> list[tuple[str, str, str, bool]]:
    """At most seven along the axis, evenly spread; every other one on a phone."""
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
