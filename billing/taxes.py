"""Which tax a customer's invoice contains, and cents: every rounding of a document is here.

Prices include tax: what left the balance is the total, and the tax is a part of it. Amounts are
integers, rounded to the cent half up, once for the total and once for the tax; lines then get
cents that add up to exactly that (`spread`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from billing.models import BillingDetails, Issuer, TaxKind, TaxRule

NANOS_PER_MINOR = 10_000_000
_PPM = 1_000_000
_VAT_ID = re.compile(r"([A-Z]{2})[0-9A-Z+*]{2,18}")
_VAT_PREFIX_OF = {"GR": "EL"}


@dataclass(frozen=True, slots=True)
class Tax:
    kind: TaxKind = TaxKind.NONE
    rate_ppm: int = 0


def decide(issuer: Issuer, rules: Sequence[TaxRule], details: BillingDetails | None) -> Tax:
    """What the customer pays, by the rule of their country: without one, nothing.

    Reverse charge needs a rule that says so, a customer outside the issuer's country, and a VAT
    id that has the shape of one and their country's letters.
    """
    if details is None or not details.country:
        return Tax()
    rule = next((one for one in rules if one.country == details.country), None)
    if rule is None:
        return Tax()
    is_abroad = details.country != issuer.country
    if rule.is_reverse_charged and is_abroad and is_vat_id(details.vat_id, details.country):
        return Tax(TaxKind.REVERSE)
    return Tax(TaxKind.STANDARD, rule.rate_ppm) if rule.rate_ppm else Tax()


def plain_vat_id(text: str) -> str:
    """`FR 12 345.678-901` as `FR12345678901`."""
    return re.sub(r"[\s.-]", "", text).upper()


def is_vat_id(text: str, country: str) -> bool:
    parts = _VAT_ID.fullmatch(plain_vat_id(text))
    return parts is not None and parts[1] == _VAT_PREFIX_OF.get(country, country)


def to_minor(nanos: int) -> int:
    """Cents, half up."""
    return (nanos + NANOS_PER_MINOR // 2) // NANOS_PER_MINOR


def included(total_minor: int, rate_ppm: int) -> int:
    """The tax within `total_minor` cents, half up: total x rate / (1 + rate)."""
    whole = _PPM + rate_ppm
    return (2 * total_minor * rate_ppm + whole) // (2 * whole)


def spread(amounts: Sequence[int], total: int) -> list[int]:
    """`total` in integer parts in proportion to `amounts`, which add up to about as much: each is
    its share rounded down, and the largest remainders get what is left, one each."""
    base = sum(amounts)
    if not amounts or not base:
        return [0] * len(amounts)
    parts = [amount * total // base for amount in amounts]
    by_remainder = sorted(range(len(amounts)), key=lambda n: (-(amounts[n] * total % base), n))
    for n in by_remainder[: total - sum(parts)]:
        parts[n] += 1
    return parts
