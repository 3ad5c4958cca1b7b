"""What a cell says, or why it says nothing: whole numbers, amounts, days and names."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from billing.bills.sheets import Unreadable

# A thousand times what a large provider serves in a day, and far from where sums overflow.
COUNT_MAX = 10**15
AMOUNT_MAX = 10**9
NAME_CHARS_MAX = 100
_SHOWN_CHARS = 40

_WHOLE = re.compile(r"(?:[0-9]{1,16}|[0-9]{1,3}(?:,[0-9]{3}){1,5})(?:\.0+)?")
# Exponents only of small amounts, as programs print them: 1.5E-7.
_AMOUNT = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,24})?(?:[eE]-[0-9]{1,2})?")
_DAY = re.compile(r"(2[0-9]{3})[-/]?([01]?[0-9])[-/]?([0-3]?[0-9])")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Day:
    """A day, and the hours its midnight is before UTC's, where the cell says."""

    day: date
    offset_hours: int | None


def whole(text: str, what: str, row: int) -> int:
    """A count. Raises `Unreadable`: never a sign, a fraction or an exponent."""
    if not _WHOLE.fullmatch(text):
        raise Unreadable(f"{what} is {_shown(text)}, which is no whole number", row)
    value = int(text.partition(".")[0].replace(",", ""))
    if value > COUNT_MAX:
        raise Unreadable(f"{what} is {_shown(text)}, which cannot be", row)
    return value


def amount(text: str, what: str, row: int) -> Decimal:
    """An amount of money or a price, exactly. Raises `Unreadable`."""
    if not _AMOUNT.fullmatch(text):
        raise Unreadable(f"{what} is {_shown(text)}, which is no amount", row)
    value = Decimal(text)
    if value > AMOUNT_MAX:
        raise Unreadable(f"{what} is {_shown(text)}, which cannot be", row)
    return value


def day(text: str, row: int) -> Day:
    """2026-11-28, 2026/11/28, 20261128, and the same with a time after it. Raises `Unreadable`."""
    parts = _DAY.match(text)
    try:
        if parts is None or text[parts.end() : parts.end() + 1].isdigit():
            raise ValueError(text)
        found = date(*map(int, parts.groups()))
    except ValueError:
        raise Unreadable(f"{_shown(text)} is no day", row) from None
    if found > datetime.now(UTC).date() + timedelta(2):
        raise Unreadable(f"{found} is not over", row)
    return Day(found, _offset(text, row))


def _offset(text: str, row: int) -> int | None:
    """Of a time that names its zone."""
    if "T" not in text:
        return None
    try:
        zone = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        raise Unreadable(f"{_shown(text)} is no time", row) from None
    if zone is None:
        return None
    hours, rest = divmod(zone, timedelta(hours=1))
    if rest:
        raise Unreadable(f"{_shown(text)}: its zone is not whole hours from UTC", row)
    return hours


def name(text: str, what: str, row: int) -> str:
    if not text:
        raise Unreadable(f"{what} is empty", row)
    return optional_name(text, what, row)


def optional_name(text: str, what: str, row: int) -> str:
    if len(text) > NAME_CHARS_MAX or not text.isprintable():
        raise Unreadable(f"{what} is {_shown(text)}, which is no name", row)
    return text


def currency(text: str, row: int) -> str | None:
    """Three letters; None of an empty cell."""
    if not text:
        return None
    code = text.upper()
    if not _CURRENCY.fullmatch(code):
        raise Unreadable(f"{_shown(text)} is no currency", row)
    return code


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
