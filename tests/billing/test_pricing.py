from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import pricing
from providers.usage import TokenUsage

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
LIST_PPM = pricing.MARKUP_NONE_PPM


def _rate(nanos: int = 1_000_000, **changes: int) -> pricing.Rate:
    fields = {
        "context_tokens_min": 0,
        "weekdays": 0,
        "start_minute": 0,
        "end_minute": 1440,
        "input_nanos": nanos,
        "cached_input_nanos": nanos,
        "cache_write_nanos": nanos,
        "output_nanos": nanos,
        "reasoning_output_nanos": nanos,
    }
    return pricing.Rate(**(fields | changes))


def _price(*rates: pricing.Rate) -> pricing.PriceVersion:
    return pricing.PriceVersion(1, MONDAY, rates)


def test_each_token_class_is_charged_at_its_own_rate_once() -> None:
    price = _price(
        _rate(
            input_nanos=1_000_000,
            cached_input_nanos=10_000_000,
            cache_write_nanos=100_000_000,
            output_nanos=1_000_000_000,
            reasoning_output_nanos=10_000_000_000,
        )
    )
    usage = TokenUsage(input=1, cached_input=2, cache_write=3, output=4, reasoning_output=5)
    assert pricing.charge(price, MONDAY, usage, LIST_PPM) == 1 + 20 + 300 + 4_000 + 50_000


def test_a_charge_is_rounded_up_once_and_not_per_class() -> None:
    price = _price(_rate(nanos=300_000))  # 0.3 nanos per token
    usage = TokenUsage(input=1, cached_input=1, output=1)
    assert pricing.charge(price, MONDAY, usage, LIST_PPM) == 1
    assert pricing.charge(price, MONDAY, TokenUsage(input=4), LIST_PPM) == 2


def test_no_tokens_cost_nothing() -> None:
    assert pricing.charge(_price(_rate()), MONDAY, TokenUsage(), 3 * LIST_PPM) == 0


def test_the_markup_multiplies_before_rounding() -> None:
    price = _price(_rate(nanos=1_000_000))
    usage = TokenUsage(input=3)
    assert pricing.charge(price, MONDAY, usage, 1_500_000) == 5
    assert pricing.charge(price, MONDAY, usage, 0) == 0


@pytest.mark.parametrize(
    ("moment", "nanos"),
    [
        (datetime(2026, 11, 23, 0, 59, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 23, 1, 0, tzinfo=UTC), 2),
        (datetime(2026, 11, 23, 3, 59, 59, tzinfo=UTC), 2),
        (datetime(2026, 11, 23, 4, 0, tzinfo=UTC), 1),
        (datetime(2026, 11, 27, 2, 0, tzinfo=UTC), 2),  # Friday
        (datetime(2026, 11, 28, 2, 0, tzinfo=UTC), 1),  # Saturday
    ],
)
def test_a_weekly_window_wins_inside_its_hours(moment: datetime, nanos: int) -> None:
    peak = _rate(nanos=2_000_000, weekdays=0b0011111, start_minute=60, end_minute=240)
    price = _price(peak, _rate(nanos=1_000_000))
    assert pricing.charge(price, moment, TokenUsage(input=1), LIST_PPM) == nanos


@pytest.mark.parametrize(("prompt", "nanos"), [(999, 999), (1_000, 5_000), (1_001, 5_005)])
def test_a_context_tier_prices_the_whole_request(prompt: int, nanos: int) -> None:
    price = _price(_rate(), _rate(nanos=5_000_000, context_tokens_min=1_000))
    assert pricing.charge(price, MONDAY, TokenUsage(input=prompt), LIST_PPM) == nanos


def test_a_price_without_a_fitting_rate_says_so() -> None:
    with pytest.raises(LookupError):
        pricing.charge(_price(_rate(context_tokens_min=10)), MONDAY, TokenUsage(input=1), LIST_PPM)


tokens = st.integers(min_value=0, max_value=10**7)
nanos = st.integers(min_value=0, max_value=10**12)
markups = st.integers(min_value=0, max_value=10**8)
usages = st.builds(TokenUsage, tokens, tokens, tokens, tokens, tokens)
rates = st.builds(
    pricing.Rate,
    context_tokens_min=st.sampled_from([0, 1_000, 200_000]),
    weekdays=st.sampled_from([0, 0b0011111, 0b1111111]),
    start_minute=st.sampled_from([0, 60]),
    end_minute=st.sampled_from([240, 1440]),
    input_nanos=nanos,
    cached_input_nanos=nanos,
    cache_write_nanos=nanos,
    output_nanos=nanos,
    reasoning_output_nanos=nanos,
)
moments = st.datetimes(
    min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1), timezones=st.just(UTC)
)


@given(st.lists(rates, max_size=5), moments, usages, markups)
def test_a_charge_is_the_exact_amount_rounded_up(found, at, usage, markup_ppm) -> None:
    price = _price(_rate(), *found)
    rate = price.rate(at, usage.prompt)
    exact = Fraction(
        usage.input * rate.input_nanos
        + usage.cached_input * rate.cached_input_nanos
        + usage.cache_write * rate.cache_write_nanos
        + usage.output * rate.output_nanos
        + usage.reasoning_output * rate.reasoning_output_nanos,
        10**6,
    ) * Fraction(markup_ppm, 10**6)
    charged = pricing.charge(price, at, usage, markup_ppm)
    assert isinstance(charged, int)
    assert exact <= charged < exact + 1


@given(st.lists(rates, max_size=5), moments, usages, markups, tokens)
def test_no_charge_is_above_the_ceiling(found, at, usage, markup_ppm, slack) -> None:
    price = _price(_rate(), *found)
    ceiling = pricing.ceiling(price, at, usage.prompt + slack, markup_ppm)
    assert pricing.charge(price, at, usage, markup_ppm) <= ceiling.nanos(usage.completion)


@given(st.lists(rates, max_size=5), moments, tokens, markups, st.integers(0, 10**15))
def test_affordable_tokens_are_the_most_that_fit(found, at, prompt, markup_ppm, funds) -> None:
    ceiling = pricing.ceiling(_price(_rate(), *found), at, prompt, markup_ppm)
    affordable = ceiling.affordable_tokens(funds)
    if affordable >= 0:
        assert ceiling.nanos(affordable) <= funds
    if ceiling.output_units_per_token:
        assert ceiling.nanos(max(affordable + 1, 0)) > funds
