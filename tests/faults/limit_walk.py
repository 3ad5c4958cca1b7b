"""Random walks over the limiter, on a real Valkey and on a local share, against a model that knows
each bucket's level within what the clocks leave open."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass, field

from ratelimits.buckets import Bucket, Decision, Limits
from ratelimits.limiter import Limiter, LocalShare

ORGANIZATIONS = 400
# Redis counts whole milliseconds and floors levels.
SLACK_SECONDS = 0.002


@dataclass
class Level:
    """Between `low` and `high` tokens were there at `at` (monotonic)."""

    bucket: Bucket
    low: float
    high: float
    earliest: float
    latest: float

    def wait(self, began: float, ended: float) -> None:
        """Time passes to some moment between these."""
        rate, capacity = self.bucket.refill_per_second, self.bucket.capacity
        least = max(0.0, began - self.latest - SLACK_SECONDS)
        most = ended - self.earliest + SLACK_SECONDS
        self.low = min(capacity, self.low + least * rate)
        self.high = min(capacity, self.high + most * rate)
        self.earliest, self.latest = began, ended

    def take(self, cost: float) -> None:
        capacity = self.bucket.capacity
        self.low, self.high = min(capacity, self.low - cost), min(capacity, self.high - cost)


@dataclass
class Walk:
    """What was done, and what differed."""

    operations: int = 0
    problems: list[str] = field(default_factory=list)


async def on_valkey(url: str, seed: int, operations: int) -> Walk:
    """Each organization does one thing at a time, all of them at once."""
    chance, walk = random.Random(seed), Walk()
    limiter = Limiter(url, processes=1, timeout_seconds=10)
    await limiter.start()
    assert limiter.lane.is_ready
    people = [
        (limits, [_full(bucket) for bucket in (*limits.request_buckets, *limits.token_buckets)])
        for limits in (_limits(number, chance) for number in range(ORGANIZATIONS))
    ]
    while walk.operations < operations and not walk.problems:
        await asyncio.gather(
            *[_act(limiter, limits, levels, chance, walk) for limits, levels in people]
        )
    await limiter.stop()
    return walk


def _limits(number: int, chance: random.Random) -> Limits:
    base = os.getpid() * 1_000 + number
    return Limits(base, chance.choice((60, 6_000)), chance.choice((1_000, 100_000)))


def _full(bucket: Bucket) -> Level:
    now = time.monotonic()
    return Level(bucket, bucket.capacity, bucket.capacity, now, now)


async def _act(
    limiter: Limiter, limits: Limits, levels: list[Level], chance: random.Random, walk: Walk
) -> None:
    requests, tokens = levels
    walk.operations += 1
    began = time.monotonic()
    if chance.random() < 0.3:
        used, reserved = chance.randrange(0, 900), chance.randrange(0, 900)
        limiter.correct(limits, reserved=reserved, used=used)
        # Its place in the lane is before the next question, whose answer tells that it was done.
        decision = await limiter.peek(limits)
        ended = time.monotonic()
        for level in levels:
            level.wait(began, ended)
        tokens.take(used - min(reserved, tokens.bucket.capacity))
        for level in levels:
            level.wait(began, ended)
        _compare(decision, levels, walk)
        return
    cost = chance.choice((1, 50, 400, 2_000_000))
    decision = await limiter.reserve(limits, tokens=cost)
    ended = time.monotonic()
    for level in levels:
        level.wait(began, ended)
    cost = min(cost, tokens.bucket.capacity)
    must = requests.low >= 1 and tokens.low >= cost
    may = requests.high >= 1 and tokens.high >= cost
    if (decision.is_allowed and not may) or (must and not decision.is_allowed):
        walk.problems.append(f"{decision} of {cost} with {levels}")
    if decision.is_allowed:
        requests.take(1)
        tokens.take(cost)
    _compare(decision, levels, walk)


def _compare(decision: Decision, levels: list[Level], walk: Walk) -> None:
    for told, level in zip((decision.requests, decision.tokens), levels, strict=True):
        assert told is not None
        if not int(max(level.low, 0)) - 1 <= told.remaining <= max(level.high, 0) + 1:
            walk.problems.append(f"{told} but {level}")
        # What was told is known better than what the clocks leave open.
        if told.remaining > 0:
            level.low = max(level.low, told.remaining)
            level.high = min(level.high, told.remaining + 1)


def on_local_share(seed: int, operations: int) -> Walk:
    """Without Redis: never more than this process's part."""
    chance, walk = random.Random(seed), Walk()
    processes = 4
    share = LocalShare(processes)
    buckets = [Bucket(f"local-{number}", chance.choice((60, 1_000))) for number in range(200)]
    began = time.monotonic()
    taken = dict.fromkeys(buckets, 0.0)
    while walk.operations < operations and not walk.problems:
        bucket = chance.choice(buckets)
        cost = chance.choice((1, 5, 40))
        walk.operations += 1
        if chance.random() < 0.2:
            back = -chance.randrange(0, 3)
            share.force([(bucket, back)])
            taken[bucket] += back
            continue
        refused, _, left, _ = share.take([(bucket, cost)])
        part = bucket.capacity / processes
        if not refused:
            taken[bucket] += cost
        # A request larger than the share takes all of it, and leaves a debt of the rest.
        given = part + (time.monotonic() - began) * bucket.refill_per_second / processes
        if taken[bucket] > given + max(0.0, 40 - part) + 1:
            walk.problems.append(f"{taken[bucket]} taken of {given} from {bucket}")
        if not 0 <= left <= part:
            walk.problems.append(f"{left} left of {part}")
    return walk
