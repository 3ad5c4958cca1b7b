"""A usage record taken apart: tokens x rate per class, and the charge computed again."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing import pricebook, pricing
from billing.models import UsageRecord
from providers.usage import TokenUsage

_CLASSES: tuple[tuple[str, str | Promise], ...] = (
    ("input", _("Input")),
    ("cached_input", _("Cached input")),
    ("cache_write", _("Cache write")),
    ("output", _("Output")),
    ("reasoning_output", _("Reasoning")),
)


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    label: str | Promise
    tokens: int
    rate_nanos: int | None
    amount_nanos: int | None  # rounded up, for reading; the sum is rounded once


@dataclass(frozen=True, slots=True)
class Receipt:
    """`computed_nanos` is None where nothing was charged or the price is not known any more."""

    lines: tuple[Line, ...]
    markup_ppm: int
    computed_nanos: int | None
    charge_nanos: int

    @property
    def agrees(self) -> bool:
        return self.computed_nanos == self.charge_nanos

    @property
    def has_markup(self) -> bool:
        return self.markup_ppm != pricing.MARKUP_NONE_PPM

    @property
    def markup_factor(self) -> str:
        return f"{self.markup_ppm / pricing.MARKUP_NONE_PPM:g}"


def usage_of(record: UsageRecord) -> TokenUsage:
    return TokenUsage(
        input=record.input_tokens,
        cached_input=record.cached_input_tokens,
        cache_write=record.cache_write_tokens,
        output=record.output_tokens,
        reasoning_output=record.reasoning_output_tokens,
    )


def make(record: UsageRecord) -> Receipt:
    """The receipt of `record`, under the price version it was charged by."""
    usage = usage_of(record)
    price = version(record.price_id)
    rate = None
    if price is not None:
        try:
            rate = price.rate(record.started_at, usage.prompt)
        except LookupError:
            price = None
    lines = []
    for name, label in _CLASSES:
        count = getattr(usage, name)
        if not count and name not in ("input", "output"):
            continue
        nanos = getattr(rate, f"{name}_nanos") if rate else None
        amount = None if nanos is None else -(-count * nanos // 1_000_000)
        lines.append(Line(name, label, count, nanos, amount))
    computed = pricing.charge(price, record.started_at, usage, record.markup_ppm) if price else None
    return Receipt(tuple(lines), record.markup_ppm, computed, record.charge_nanos)


def version(price_id: int | None) -> pricing.PriceVersion | None:
    """The price as it is charged by; None where no price has this id."""
    return pricebook.versions([price_id]).get(price_id) if price_id else None
