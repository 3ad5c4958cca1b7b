"""A file as one bill: its rows added up by day, model and key, in one zone and one currency."""

import hashlib
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from billing.bills import formats, sheets
from billing.bills.formats import Entry
from billing.bills.sheets import Sheet, Unreadable
from billing.models import BillFormat
from billing.money import NANOS_PER_USD

LINES_MAX = 50_000
_OFFSETS = range(-12, 15)


@dataclass(slots=True)
class Line:
    """What the file says of one day, model and key; `cost` is in the file's currency."""

    day: date
    model: str
    key: str
    first_row: int
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    cost: Decimal | None = None


@dataclass(slots=True)
class Reading:
    """A whole file. `decimals` is how finely it prints money."""

    sha256: str
    bytes: int
    format: BillFormat
    lines: list[Line]
    rows: int
    rows_skipped: int
    offset_hours: int
    currency: str | None
    decimals: int

    @property
    def first_day(self) -> date:
        return min(line.day for line in self.lines)

    @property
    def last_day(self) -> date:
        return max(line.day for line in self.lines)

    @property
    def has_usage(self) -> bool:
        return any(line.counts for line in self.lines)

    @property
    def has_cost(self) -> bool:
        return any(line.cost is not None for line in self.lines)


def read(
    name: str, data: bytes, *, wanted: BillFormat | None = None, offset_hours: int | None = None
) -> Reading:
    """Raises `Unreadable`. `offset_hours` is the zone of days that name none."""
    tables = sheets.read(name, data)
    kinds = {formats.recognize(sheet) for sheet in tables}
    if wanted is not None and kinds != {wanted}:
        raise Unreadable(f"Its columns are not those of: {wanted.label}.")
    if len(kinds) > 1:
        raise Unreadable("It holds files of different providers.")
    [kind] = kinds
    if offset_hours is not None and offset_hours not in _OFFSETS:
        raise Unreadable(f"UTC{offset_hours:+} is no time zone.")
    adding = _Adding(formats.OFFSET_HOURS[kind] if offset_hours is None else offset_hours)
    has_cost_file = any(sheet.has("wallettype", "cost") for sheet in tables)
    for sheet in tables:
        # Beside the file that says what was paid, a price times an amount would count twice.
        adding.takes_cost = not (has_cost_file and sheet.has("type", "amount"))
        adding.add(sheet, formats.PARSERS[kind])
    if not adding.lines:
        raise Unreadable("It has no rows of usage.")
    return Reading(
        hashlib.sha256(data).hexdigest(), len(data), kind, list(adding.lines.values()),
        adding.rows, adding.skipped, adding.offset_hours, adding.currency, adding.decimals,
    )  # fmt: skip


def nanos(amount: Decimal, nanos_per_unit: int) -> int:
    """USD nanos of an amount in the bill's currency."""
    exact = amount * nanos_per_unit
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def step_nanos(decimals: int, nanos_per_unit: int) -> int:
    """What a unit of the last decimal is worth, at least a nano."""
    step: int = 10 ** min(decimals, 18)
    return max(-(-nanos_per_unit // step), 1)


def nanos_per_unit(usd_per_unit: Decimal) -> int:
    return int((usd_per_unit * NANOS_PER_USD).to_integral_value())


class _Adding:
    """Lines in the making."""

    def __init__(self, offset_hours: int) -> None:
        self.lines: dict[tuple[date, str, str], Line] = {}
        self.rows = self.skipped = self.decimals = 0
        self.offset_hours = offset_hours
        self.currency: str | None = None
        self.takes_cost = True
        self._zone_row: int | None = None

    def add(self, sheet: Sheet, parse: formats.Parser) -> None:
        for entry in parse(sheet):
            self.rows += 1
            if entry is None:
                self.skipped += 1
            else:
                self._add(entry)

    def _add(self, entry: Entry) -> None:
        self._agree(entry)
        where = (entry.day.day, entry.model.lower(), entry.key)
        line = self.lines.get(where)
        if line is None:
            if len(self.lines) >= LINES_MAX:
                raise Unreadable(f"more than {LINES_MAX:,} days, models and keys", entry.row)
            line = self.lines[where] = Line(*where, first_row=entry.row)
        line.rows += 1
        for name, count in entry.counts.items():
            line.counts[name] = line.counts.get(name, 0) + count
        if entry.cost is not None and self.takes_cost:
            line.cost = (line.cost or Decimal(0)) + entry.cost
            exponent = entry.cost.as_tuple().exponent
            assert isinstance(exponent, int)  # never NaN or infinity: see `cells.amount`
            self.decimals = max(self.decimals, -exponent)

    def _agree(self, entry: Entry) -> None:
        """One zone and one currency a file."""
        named = entry.day.offset_hours
        if named is not None:
            if self._zone_row is not None and named != self.offset_hours:
                raise Unreadable(f"another time zone than row {self._zone_row}", entry.row)
            if named not in _OFFSETS:
                raise Unreadable(f"UTC{named:+} is no time zone", entry.row)
            self.offset_hours, self._zone_row = named, self._zone_row or entry.row
        if entry.currency is not None:
            if self.currency not in (None, entry.currency):
                raise Unreadable(f"{entry.currency} after {self.currency}", entry.row)
            self.currency = entry.currency
