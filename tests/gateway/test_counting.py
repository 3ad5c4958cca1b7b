"""Counting tokens in a process of its own: right where it can be, an estimate where not."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import counting
from gateway.counting import TokenCounter, _count, estimate


@pytest.fixture
def counter() -> Iterator[TokenCounter]:
    made = TokenCounter()
    yield made
    made.stop()


async def test_it_counts_in_o200k(counter: TokenCounter) -> None:
    assert await counter.count(["hello world", "", "hello world"]) == 4
    assert await counter.count([]) == 0


def test_chinese_is_counted_in_linear_time() -> None:
    text = "今天天气很好我们去公园散步吧" * 3_000
    _count(["warm up"])
    started = time.perf_counter()
    count = _count([text])
    assert time.perf_counter() - started < 5
    assert len(text) / 3 < count < len(text) * 1.1


async def test_what_is_too_long_to_count_is_estimated(counter: TokenCounter) -> None:
    text = "word " * (counting.CHARACTERS_MAX // 5 + 1)
    assert await counter.count([text]) == estimate([text])
    assert counter._pool is None


async def test_a_counter_that_dies_estimates_and_starts_anew(counter: TokenCounter) -> None:
    assert await counter.count(["hello world"]) == 2
    assert counter._pool is not None
    for process in counter._pool._processes.values():
        process.kill()
    assert await counter.count(["hello world"]) in (estimate(["hello world"]), 2)
    assert await counter.count(["hello world"]) == 2


async def test_whatever_goes_wrong_there_is_a_number(
    counter: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> int:
        raise ValueError("no vocabulary")

    monkeypatch.setattr(counting, "_count", broken)  # which cannot be sent to a process
    assert await counter.count(["hello world"]) == estimate(["hello world"])
