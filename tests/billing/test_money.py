from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import money


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0),
        ("10", 10_000_000_000),
        ("10.00", 10_000_000_000),
        ("0.000000001", 1),
        ("0.1", 100_000_000),
        ("1000000000", 10**18),
    ],
)
def test_parse_usd_is_exact(text: str, nanos: int) -> None:
    assert money.parse_usd(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", "1.", ".5", "1e3", "NaN", "inf", "1,000", " 1", "1\n", "0.0000000001"),
        *("٣", "1000000000.000000001", "9999999999", "0x10", "1_0", "$1"),
    ],
)
def test_parse_usd_refuses_what_is_not_a_plain_amount(text: str) -> None:
    with pytest.raises(money.NotMoney):
        money.parse_usd(text)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0.00"), (10**9, "1.00"), (42, "0.000000042"), (-1_500_000_000, "-1.50")],
)
def test_format_usd_shows_as_many_decimals_as_it_needs(nanos: int, text: str) -> None:
    assert money.format_usd(nanos) == text


@given(st.integers(min_value=0, max_value=money.NANOS_MAX))
def test_what_is_formatted_reads_back(nanos: int) -> None:
    assert money.parse_usd(money.format_usd(nanos)) == nanos
    assert Decimal(money.format_usd(nanos)) * 10**9 == nanos
