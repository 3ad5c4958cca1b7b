"""Small charts of one figure per day: columns from zero, a gap where nothing was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

HEIGHT = 48
_COLUMN_OF_SLOT = 0.76
_LEAST = 2.0  # pixels: the smallest column that is seen


@dataclass(frozen=True, slots=True)
class Column:
    x: str
    width: str
    y: str
    height: str
    tip: str
    has_value: bool
    colour: str


@dataclass(frozen=True, slots=True)
class Spark:
    height: int
    first: date
    last: date
    columns: tuple[Column, ...]

    @property
    def has_values(self) -> bool:
        return any(column.has_value for column in self.columns)


def draw(
    values: Mapping[date, float | None],
    show: Callable[[float], str],
    colour: Callable[[float], str],
) -> Spark:
    """One column per day; `show` words a value, `colour` names its class. The scale begins at
    zero."""
    days: Sequence[date] = sorted(values)
    top = max((value for value in values.values() if value is not None), default=0) or 1
    slot = 100 / len(days)
    columns = []
    for place, day in enumerate(days):
        value = values[day]
        height = _LEAST if value is None else max(HEIGHT * value / top, _LEAST)
        said = _("nothing measured") if value is None else show(value)
        columns.append(
            Column(
                x=f"{slot * (place + (1 - _COLUMN_OF_SLOT) / 2):.3f}%",
                width=f"{slot * _COLUMN_OF_SLOT:.3f}%",
                y=f"{HEIGHT - height:.1f}",
                height=f"{height:.1f}",
                tip=f"{day:%Y-%m-%d}: {said}",
                has_value=value is not None,
                colour="spark-none" if value is None else colour(value),
            )
        )
    return Spark(HEIGHT, days[0], days[-1], tuple(columns))
