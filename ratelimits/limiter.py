"""Admission by requests and tokens per minute, exact over all processes while Redis answers,
and a bounded local share of each limit while it does not."""

import asyncio
import time
from collections import OrderedDict

from ratelimits.admission import SCRIPT
from ratelimits.buckets import Bucket, Decision, Level, Limits, tightest
from ratelimits.lane import Lane, LaneDown

LOCAL_BUCKETS_MAX = 100_000


class Limiter:
    """Takes and gives back. `processes` is how many gateways share a limit while Redis is away."""

    def __init__(self, url: str, *, processes: int, timeout_seconds: float) -> None:
        self.lane = Lane(url, SCRIPT, timeout_seconds=timeout_seconds)
        self.lane.on_ready = self._settle_local
        self._local = LocalShare(max(processes, 1))
        # By bucket name, what `correct` was told since it last asked: one command for all of it.
        self._corrections: dict[str, tuple[Bucket, int]] = {}
        # How many decisions this process made by itself, Redis being away.
        self.local_decisions = 0

    async def start(self) -> None:
        await self.lane.start()

    async def stop(self) -> None:
        self._send_corrections()
        await self.lane.stop()

    async def reserve(self, limits: Limits, *, requests: int = 1, tokens: int) -> Decision:
        """Take `requests` and `tokens` from every bucket, or nothing from any.

        More tokens than a bucket can ever hold count as all it holds: such a request runs when
        the bucket is full, and its actual use is made up for afterwards by `correct`.
        """
        request_buckets, token_buckets = limits.request_buckets, limits.token_buckets
        costs = [(bucket, requests) for bucket in request_buckets]
        costs += [(bucket, min(tokens, bucket.capacity)) for bucket in token_buckets]
        if not costs:
            return Decision(True, 0.0, None, None)
        self._send_corrections()
        try:
            reply = await self._run(costs, forced=False)
        except LaneDown:
            self.local_decisions += 1
            reply = self._local.take(costs)
        else:
            self._local.remember(costs, reply)
        return _decision(reply, len(request_buckets), costs)

    async def peek(self, limits: Limits) -> Decision:
        """How the buckets stand. Takes nothing."""
        return await self.reserve(limits, requests=0, tokens=0)

    def correct(self, limits: Limits, *, requests: int = 0, reserved: int, used: int) -> None:
        """Replace a reservation by what was really used (more may leave a bucket in debt), and
        give back `requests` where the request was refused after all. What comes in one turn of
        the loop, as the requests of one commit do, is sent as one."""
        if not self._corrections:
            asyncio.get_running_loop().call_soon(self._send_corrections)
        if requests:
            for bucket in limits.request_buckets:
                self._correct(bucket, -requests)
        for bucket in limits.token_buckets:
            self._correct(bucket, used - min(reserved, bucket.capacity))

    def _correct(self, bucket: Bucket, cost: int) -> None:
        _, owed = self._corrections.get(bucket.name, (bucket, 0))
        self._corrections[bucket.name] = bucket, owed + cost

    def _send_corrections(self) -> None:
        """One bucket at a time: a cluster may keep two organizations in different places."""
        if not self._corrections:
            return
        corrections, self._corrections = self._corrections, {}
        for bucket, cost in corrections.values():
            try:
                if cost:
                    self.lane.run_and_forget(*_command([(bucket, cost)], forced=True))
            except LaneDown:
                self._local.force([(bucket, cost)])

    async def _run(self, costs: list[tuple[Bucket, int]], *, forced: bool) -> list[int]:
        reply = await self.lane.run(*_command(costs, forced=forced))
        assert isinstance(reply, list)
        return reply

    def _settle_local(self) -> None:
        """Redis is back: what was taken meanwhile is taken there too."""
        for costs in self._local.drain():
            self.lane.run_and_forget(*_command(costs, forced=True))


def _command(costs: list[tuple[Bucket, int]], *, forced: bool) -> tuple[list[str], list[int]]:
    arguments = [int(forced)]
    for bucket, cost in costs:
        arguments += (bucket.capacity, cost)
    return [bucket.name for bucket, _ in costs], arguments


def _decision(reply: list[int], request_buckets: int, costs: list[tuple[Bucket, int]]) -> Decision:
    refused, wait_milliseconds, *pairs = reply
    levels = [
        Level(bucket.capacity, pairs[2 * index], pairs[2 * index + 1] / 1000)
        for index, (bucket, _) in enumerate(costs)
    ]
    return Decision(
        is_allowed=refused == 0,
        retry_after_seconds=wait_milliseconds / 1000,
        requests=tightest(levels[:request_buckets]),
        tokens=tightest(levels[request_buckets:]),
        refused_by="" if not refused else "requests" if refused <= request_buckets else "tokens",
    )


class LocalShare:
    """This process's part of each limit, for the time Redis cannot be asked."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        # By bucket name: (level, monotonic seconds), most recently used last.
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        # The last answers of Redis, by their last bucket's name: (costs, reply, monotonic).
        self._answers: dict[str, tuple[list[tuple[Bucket, int]], list[int], float]] = {}
        self._taken: dict[str, tuple[Bucket, float]] = {}

    def remember(self, costs: list[tuple[Bucket, int]], reply: list[int]) -> None:
        """Note what Redis said is left: there a local share starts, should it be needed."""
        if len(self._answers) >= LOCAL_BUCKETS_MAX:
            self._answers.clear()
        self._answers[costs[-1][0].name] = (costs, reply, time.monotonic())

    def _recall(self, costs: list[tuple[Bucket, int]]) -> None:
        answer = self._answers.pop(costs[-1][0].name, None)
        if answer is not None:
            known, reply, at = answer
            for index, (bucket, _) in enumerate(known):
                self._levels[bucket.name] = (reply[2 + 2 * index] / self._processes, at)

    def take(self, costs: list[tuple[Bucket, int]]) -> list[int]:
        """As the script in Redis does, on a share of each bucket. A request larger than the
        share may take all of it, and no more than one such at a time."""
        self._recall(costs)
        levels = [self._level(bucket) for bucket, _ in costs]
        refused, wait = 0, 0.0
        for index, (bucket, cost) in enumerate(costs):
            needed = min(float(cost), bucket.capacity / self._processes)
            rate = bucket.refill_per_second / self._processes
            if cost > 0 and levels[index] < needed:
                seconds = (needed - levels[index]) / rate if rate else 60.0
                if seconds > wait:
                    refused, wait = index + 1, seconds
        if not refused:
            self.force(costs)
            levels = [self._level(bucket) for bucket, _ in costs]
        out = [refused, int(wait * 1000) + (1 if refused else 0)]
        for (bucket, _), level in zip(costs, levels, strict=True):
            share = bucket.capacity / self._processes
            rate = bucket.refill_per_second / self._processes
            out += [int(max(level, 0)), int((share - level) / rate * 1000) if rate else 0]
        return out

    def force(self, costs: list[tuple[Bucket, int]]) -> None:
        now = time.monotonic()
        for bucket, cost in costs:
            if not cost:
                continue
            share = bucket.capacity / self._processes
            self._levels[bucket.name] = (min(share, self._level(bucket) - cost), now)
            self._levels.move_to_end(bucket.name)
            taken = self._taken.get(bucket.name, (bucket, 0.0))[1]
            self._taken[bucket.name] = (bucket, taken + cost)
        while len(self._levels) > LOCAL_BUCKETS_MAX:
            self._levels.popitem(last=False)
        while len(self._taken) > LOCAL_BUCKETS_MAX:
            # Whoever was first here since Redis went away is not asked to make up for it.
            del self._taken[next(iter(self._taken))]

    def drain(self) -> list[list[tuple[Bucket, int]]]:
        """What was taken since Redis went away, once, one bucket at a time (a cluster may keep
        two organizations in different places)."""
        taken, self._taken = self._taken, {}
        return [[(bucket, int(cost))] for bucket, cost in taken.values() if int(cost)]

    def _level(self, bucket: Bucket) -> float:
        share = bucket.capacity / self._processes
        level, at = self._levels.get(bucket.name, (share, time.monotonic()))
        refill = (time.monotonic() - at) * bucket.refill_per_second / self._processes
        return min(share, level + refill)
