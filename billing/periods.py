"""The span of time a page shows, as its URL says it. Days and hours are UTC's."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

DAYS_MAX = 366
# Up to this many days a chart has a bar per hour.
HOURLY_DAYS_MAX = 2
# No usage is older than the product; far from where dates end.
_YEAR_MIN = 2000
HOUR = timedelta(hours=1)
DAY = timedelta(1)
Slot = date | datetime


@dataclass(frozen=True, slots=True)
class Span:
    """Whole UTC hours from `start` until before `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both included."""

    key: str
    label: str | Promise
    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]

    @property
    def is_hourly(self) -> bool:
        return (self.last - self.first).days < HOURLY_DAYS_MAX

    @property
    def span(self) -> Span:
        return Span(midnight(self.first), midnight(self.last + DAY))

    def slots(self, now: datetime) -> list[Slot]:
        """What a chart has a bar for: the days, or the hours that have begun."""
        if not self.is_hourly:
            return list(self.days)
        end = min(self.span.end, now)
        hours = max(1, -(-(end - self.span.start) // HOUR))
        return [self.span.start + n * HOUR for n in range(hours)]

    def before(self, now: datetime) -> Span:
        """As long a time before this one, for comparing. Where today is in the period its end is
        cut at the same hour of the day, so that a day half over is not held against a whole one;
        months are compared from their firsts."""
        length = self.last + DAY - self.first
        first = self.first - length
        if self.key in ("month", "last-month"):
            first = (self.first - DAY).replace(day=1)
        end = midnight(first) + length
        if self.key == "last-month":
            end = self.span.start
        elif self.last >= now.date():
            this_hour = now.replace(minute=0, second=0, microsecond=0)
            end = midnight(first) + (this_hour + HOUR - self.span.start)
        return Span(midnight(first), min(end, self.span.start))


CHOICES: list[tuple[str, str | Promise]] = [
    ("today", _("Today")),
    ("7d", _("7 days")),
    ("30d", _("30 days")),
    ("90d", _("90 days")),
    ("month", _("This month")),
    ("last-month", _("Last month")),
]
_SPANS = {"today": 1, "7d": 7, "30d": 30, "90d": 90}


def today() -> date:
    return datetime.now(UTC).date()


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def parse(key: str, now: date | None = None, default: str = "30d") -> Period:
    """The named period, or `2026-11-03..2026-11-09`; unknown or out of bounds: the default."""
    now = now or today()
    labels = dict(CHOICES)
    if key in _SPANS:
        return Period(key, labels[key], now - timedelta(_SPANS[key] - 1), now)
    if key == "month":
        return Period(key, labels[key], now.replace(day=1), now)
    if key == "last-month":
        last = now.replace(day=1) - timedelta(1)
        return Period(key, labels[key], last.replace(day=1), last)
    return _dates(key, now) or parse(default, now)


def _dates(key: str, now: date) -> Period | None:
    """`2026-11-03` or `2026-11-03..2026-11-09`."""
    first_text, _dots, last_text = key.partition("..")
    try:
        first = date.fromisoformat(first_text)
        last = date.fromisoformat(last_text) if last_text else first
    except ValueError:
        return None
    last = min(last, now)
    if first > last or (last - first).days >= DAYS_MAX or first.year < _YEAR_MIN:
        return None
    label = f"{first}" if first == last else f"{first} – {last}"
    return Period(key, label, first, last)
