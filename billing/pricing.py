"""From tokens to money, in one place and in integers.

A charge is Σ tokens x nanos-per-million-tokens x markup, divided once, rounded up once. The same
function serves the hold, the charge and the proof that recomputes it.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from providers.usage import TokenUsage

_TOKENS_PER_RATE = 1_000_000
_PPM = 1_000_000
MARKUP_NONE_PPM = _PPM


@dataclass(frozen=True, slots=True)
class Rate:
    """One row of a price: nanos per million tokens of each class, where and when it holds."""

    context_tokens_min: int
    weekdays: int  # bit 0 is Monday; 0 means always
    start_minute: int  # of the UTC day
    end_minute: int  # exclusive
    input_nanos: int
    cached_input_nanos: int
    cache_write_nanos: int
    output_nanos: int
    reasoning_output_nanos: int

    @property
    def is_plain(self) -> bool:
        """Whether it holds always and for every prompt."""
        return not self.weekdays and not self.context_tokens_min

    def holds_at(self, at: datetime) -> bool:
        """Whether the weekly window contains `at`, an aware UTC time."""
        if not self.weekdays:
            return True
        minute = at.hour * 60 + at.minute
        return bool(self.weekdays >> at.weekday() & 1) and (
            self.start_minute <= minute < self.end_minute
        )


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """An immutable price: its database id and its rates."""

    id: int
    effective_at: datetime
    rates: tuple[Rate, ...]

    def rate(self, at: datetime, prompt_tokens: int) -> Rate:
        """The rate for a request that started `at` with this many prompt tokens.

        The highest context tier at or below the prompt wins, inside it a window over no window.
        Raises LookupError where the price has no rate for it.
        """
        if len(self.rates) == 1 and self.rates[0].is_plain:
            return self.rates[0]
        fitting = [
            rate
            for rate in self.rates
            if rate.context_tokens_min <= prompt_tokens and rate.holds_at(at)
        ]
        if not fitting:
            raise LookupError(f"price {self.id} has no rate at {at} for {prompt_tokens} tokens")
        return max(fitting, key=lambda rate: (rate.context_tokens_min, bool(rate.weekdays)))


def charge(price: PriceVersion, at: datetime, usage: TokenUsage, markup_ppm: int) -> int:
    """Nanos for `usage` of a request that started `at`. Zero tokens cost nothing."""
    rate = price.rate(at, usage.prompt)
    units = (
        usage.input * rate.input_nanos
        + usage.cached_input * rate.cached_input_nanos
        + usage.cache_write * rate.cache_write_nanos
        + usage.output * rate.output_nanos
        + usage.reasoning_output * rate.reasoning_output_nanos
    )
    return _rounded_up(units * markup_ppm)


def _rounded_up(units: int) -> int:
    return -(-units // (_TOKENS_PER_RATE * _PPM))


class Ceiling(msgspec.Struct, frozen=True):
    """What a request can cost at most, linear in its output tokens."""

    prompt_units: int
    output_units_per_token: int

    def nanos(self, output_tokens: int) -> int:
        """Nanos for the whole prompt and this many output tokens (all choices together)."""
        return _rounded_up(self.prompt_units + self.output_units_per_token * output_tokens)

    def affordable_tokens(self, nanos: int) -> int:
        """The most output tokens that `nanos` pay for; negative where not even the prompt fits."""
        units = nanos * _TOKENS_PER_RATE * _PPM - self.prompt_units
        if self.output_units_per_token == 0:
            return 2**31 if units >= 0 else -1
        return units // self.output_units_per_token


def ceiling(price: PriceVersion, at: datetime, prompt_tokens_max: int, markup_ppm: int) -> Ceiling:
    """An upper bound from an upper bound of the prompt's tokens.

    A longer prompt can fall into a dearer tier and a cached one is never dearer here, so every
    tier the prompt may reach counts, at its dearest class.
    """
    reachable = [
        rate
        for rate in price.rates
        if rate.context_tokens_min <= prompt_tokens_max and rate.holds_at(at)
    ]
    dearest_input = max(
        max(rate.input_nanos, rate.cached_input_nanos, rate.cache_write_nanos) for rate in reachable
    )
    dearest_output = max(max(rate.output_nanos, rate.reasoning_output_nanos) for rate in reachable)
    return Ceiling(
        prompt_units=prompt_tokens_max * dearest_input * markup_ppm,
        output_units_per_token=dearest_output * markup_ppm,
    )
