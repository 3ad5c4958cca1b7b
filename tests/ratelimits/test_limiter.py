"""Admission on a real Redis: all or nothing, corrected afterwards, and bounded without it."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from django.conf import settings

from ratelimits.buckets import Limits
from ratelimits.lane import LaneDown
from ratelimits.limiter import Limiter, LocalShare

_numbers = itertools.count(os.getpid() * 1_000)


def _limits(**fields: int | None) -> Limits:
    """Limits of an organization no other test uses."""
    given: dict[str, Any] = {"requests_per_minute": 60, "tokens_per_minute": 600} | fields
    return Limits(next(_numbers), **given)


@pytest_asyncio.fixture
async def limiter() -> AsyncIterator[Limiter]:
    made = Limiter(settings.REDIS_URL, processes=1, timeout_seconds=0.5)
    await made.start()
    yield made
    await made.stop()


async def test_reserve_takes_a_request_and_its_tokens(limiter: Limiter) -> None:
    decision = await limiter.reserve(_limits(), tokens=100)
    assert decision.is_allowed
    assert decision.requests is not None and decision.tokens is not None
    assert (decision.requests.limit, decision.requests.remaining) == (60, 59)
    assert (decision.tokens.limit, decision.tokens.remaining) == (600, 500)
    assert 0.9 < decision.requests.reset_seconds <= 1.0


async def test_a_refusal_takes_nothing_from_any_bucket(limiter: Limiter) -> None:
    limits = _limits()
    await limiter.reserve(limits, tokens=500)
    refused = await limiter.reserve(limits, tokens=200)
    after = await limiter.peek(limits)
    assert (refused.is_allowed, refused.refused_by) == (False, "tokens")
    assert 9 < refused.retry_after_seconds <= 10
    assert after.requests is not None and after.requests.remaining == 59


async def test_the_requests_of_a_minute_are_admitted_and_no_more(limiter: Limiter) -> None:
    limits = _limits(tokens_per_minute=None)
    decisions = await asyncio.gather(*[limiter.reserve(limits, tokens=1) for _ in range(200)])
    assert sum(decision.is_allowed for decision in decisions) in (60, 61)
    assert {d.refused_by for d in decisions if not d.is_allowed} == {"requests"}


async def test_unlimited_is_a_value_of_its_own(limiter: Limiter) -> None:
    limits = _limits(tokens_per_minute=None)
    decision = await limiter.reserve(limits, tokens=10**12)
    assert decision.is_allowed
    assert decision.tokens is None


async def test_a_lower_limit_of_the_key_refuses_first(limiter: Limiter) -> None:
    limits = _limits(key_id=7, key_requests_per_minute=1)
    assert (await limiter.reserve(limits, tokens=1)).is_allowed
    refused = await limiter.reserve(limits, tokens=1)
    assert (refused.is_allowed, refused.refused_by) == (False, "requests")
    assert refused.requests is not None and refused.requests.limit == 1


async def test_correct_gives_back_what_was_not_used(limiter: Limiter) -> None:
    limits = _limits()
    await limiter.reserve(limits, tokens=500)
    limiter.correct(limits, reserved=500, used=20)
    after = await limiter.peek(limits)
    assert after.tokens is not None and after.tokens.remaining in (580, 581)


async def test_more_than_a_bucket_holds_runs_once_and_leaves_it_in_debt(limiter: Limiter) -> None:
    limits = _limits()
    assert (await limiter.reserve(limits, tokens=5_000)).is_allowed
    limiter.correct(limits, reserved=5_000, used=1_200)
    refused = await limiter.reserve(limits, tokens=1)
    assert not refused.is_allowed
    assert refused.retry_after_seconds > 59


async def test_without_redis_a_local_share_is_admitted_and_settled_when_it_is_back(
    limiter: Limiter,
) -> None:
    limits = _limits()
    await limiter.reserve(limits, tokens=0)
    limiter.lane._break("as if Redis had gone")
    with pytest.raises(LaneDown):
        limiter.lane.run([], [])
    local = [await limiter.reserve(limits, tokens=0) for _ in range(100)]
    assert sum(decision.is_allowed for decision in local) in (59, 60)
    async with asyncio.timeout(5):
        while not limiter.lane.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    after = await limiter.peek(limits)
    assert after.requests is not None and after.requests.remaining <= 2


def test_a_local_share_is_its_part_of_the_limit() -> None:
    share = LocalShare(processes=4)
    costs = [(bucket, 1) for bucket in _limits().request_buckets]
    admitted = sum(share.take(costs)[0] == 0 for _ in range(100))
    assert admitted == 15


async def test_a_redis_that_does_not_answer_is_given_up_in_time(limiter: Limiter) -> None:
    """Freezes nothing: a lane to a server that accepts and stays silent."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lonely = Limiter(f"redis://127.0.0.1:{port}/0", processes=1, timeout_seconds=0.1)
    await lonely.start()
    decision = await asyncio.wait_for(lonely.reserve(_limits(), tokens=1), 1)
    await lonely.stop()
    server.close()
    assert decision.is_allowed


async def test_a_process_too_busy_to_read_does_not_blame_redis(limiter: Limiter) -> None:
    reply = limiter.lane.run([], [0])
    await asyncio.sleep(0)  # the command leaves
    time.sleep(0.7)  # noqa: ASYNC251  (longer than the lane's timeout, with the loop blocked)
    await asyncio.wait_for(reply, 1)
    assert limiter.lane.is_ready


def test_what_is_taken_locally_is_remembered_within_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ratelimits.limiter.LOCAL_BUCKETS_MAX", 10)
    share = LocalShare(processes=1)
    for _ in range(30):
        share.take([(bucket, 1) for bucket in _limits().request_buckets])
    assert len(share.drain()) == 10
