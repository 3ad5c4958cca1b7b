"""A provider's integers of minor units, and the ledger's nanos: exactly, or not at all."""

from billing.money import NANOS_PER_CENT

CURRENCY = "usd"
_NANOS_PER_MINOR = {"usd": NANOS_PER_CENT}


def nanos(minor: int, currency: str = CURRENCY) -> int:
    """Raises KeyError for a currency that no wallet is kept in."""
    return minor * _NANOS_PER_MINOR[currency]


def minor(nanos: int, currency: str = CURRENCY) -> int:
    """Raises ValueError for an amount that is no whole number of minor units."""
    whole, rest = divmod(nanos, _NANOS_PER_MINOR[currency])
    if rest:
        raise ValueError(f"{nanos} nanos are no whole cents")
    return whole
