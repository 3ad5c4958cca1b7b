"""Two gateway processes against one, each with the same share of a core.

Two cores cannot hold two busy gateways, their load and their stores. With a quota the gateways
stay the limit in both runs, while everything else has room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from subprocess import Popen

import msgspec

from benchmarks import figures, product, seed
from benchmarks.figures import Figures
from benchmarks.goals import Verdict
from benchmarks.load import Result
from benchmarks.scale import quota
from benchmarks.scale.sides import Running
from benchmarks.scale.traffic import Pace

RATIO_MIN = 1.8
SHARE = 0.25
CONCURRENT = 32


class Pair(msgspec.Struct, frozen=True):
    """`share` is each gateway's part of a core; 1 where the system gave no quotas."""

    one: Figures
    two: list[Figures]
    share: float

    @property
    def ratio(self) -> float:
        return sum(each.per_second for each in self.two) / self.one.per_second

    @property
    def cpu_ratio(self) -> float:
        """CPU per request with two gateways, by that with one."""
        return sum(each.gateway_cpu_us for each in self.two) / 2 / self.one.gateway_cpu_us


def measure(
    loads: list[Popen[str]], gateways: list[Running], watched: Mapping[str, int], pace: Pace
) -> Pair:
    """Rounds of one gateway alone, then of both at once, in turn."""
    share = SHARE
    with ExitStack() as stack:
        try:
            for each in gateways:
                stack.enter_context(quota.limited(each.pid, SHARE))
        except quota.Unavailable:
            share = 1.0
        alone: list[Result] = []
        both: list[list[Result]] = [[], []]
        for _ in range(pace.rounds):
            _send(loads[0], gateways[0], watched, pace)
            alone.append(product.receive(loads[0]))
            for load, each in zip(loads, gateways, strict=True):
                _send(load, each, watched, pace)
            for load, results in zip(loads, both, strict=True):
                results.append(product.receive(load))
    return Pair(figures.summarize(alone), [figures.summarize(each) for each in both], share)


def _send(load: Popen[str], each: Running, watched: Mapping[str, int], pace: Pace) -> None:
    job = each.job(
        model=seed.BURST, concurrent=CONCURRENT, seconds=pace.seconds, warm=0.8,
        keys=each.side.filled.keys[1:], watched=dict(watched),
    )  # fmt: skip
    product.send(load, job)


def verdicts(pair: Pair) -> Iterator[Verdict]:
    how = f"each with {pair.share:.0%} of a core" if pair.share < 1 else "without quotas"
    yield Verdict(
        goal="two gateway processes against one, requests/s",
        target=f">= {RATIO_MIN}x",
        figure=f"{pair.ratio:.2f}x, {how}; CPU/request {pair.cpu_ratio:.2f}x",
        is_met=pair.ratio >= RATIO_MIN,
    )
