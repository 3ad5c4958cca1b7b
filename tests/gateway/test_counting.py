"""Counting tokens in a process of its own: right where it can be, an estimate where not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
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


_PARENT = """
import asyncio, multiprocessing
from gateway.counting import TokenCounter

async def main():
    counter = TokenCounter()
    await counter.count(["two words"])
    print(multiprocessing.active_children()[0].pid, flush=True)
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_the_tokenizer_does_not_outlive_a_gateway_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{child}/cmdline").read_bytes():
            return  # dead, and not yet reaped
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()
