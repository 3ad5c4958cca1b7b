"""The span of time a page shows, as its URL says it. Days are UTC days."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

DAYS_MAX = 366


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


CHOICES: list[tuple[str, str | Promise]] = [
    ("7d", _("7 days")),
    ("30d", _("30 days")),
    ("90d", _("90 days")),
    ("month", _("This month")),
    ("last-month", _("Last month")),
]
_SPANS = {"7d": 7, "30d": 30, "90d": 90}


def today() -> date:
    return datetime.now(UTC).date()


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
    if first > last or (last - first).days >= DAYS_MAX:
        return None
    label = f"{first}" if first == last else f"{first} – {last}"
    return Period(key, label, first, last)
