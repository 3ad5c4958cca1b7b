"""Money as people type and read it: decimal USD, to and from integer nanos, exactly."""

import re
from decimal import Decimal

NANOS_PER_USD = 1_000_000_000
NANOS_PER_CENT = 10_000_000
# A billion dollars: far above any real amount, far below what a bigint column overflows at.
NANOS_MAX = 10**18

_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")


class NotMoney(ValueError):
    """`text` is not an amount: digits, at most nine decimals, no sign, at most a billion."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not an amount in USD; write it like 10 or 0.25, with at most 9 decimals"
        )
        self.text = text


def parse_usd(text: str) -> int:
    """Nanos for a decimal amount of USD. Raises `NotMoney`; never rounds."""
    if not _DECIMAL.fullmatch(text):
        raise NotMoney(text)
    nanos = int(Decimal(text) * NANOS_PER_USD)
    if nanos > NANOS_MAX:
        raise NotMoney(text)
    return nanos


def format_usd(nanos: int) -> str:
    """The amount with as many decimals as it needs, and at least two: 12.50, 0.000000042."""
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANOS_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


def format_minor(minor: int) -> str:
    """Whole cents as a document shows them: $1,234.50."""
    whole, cents = divmod(abs(minor), 100)
    return f"{'−' if minor < 0 else ''}${whole:,}.{cents:02d}"
