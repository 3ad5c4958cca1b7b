"""From measured rounds to figures: percentiles, medians over rounds, ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from benchmarks.load import Result

# A load side busier than this share of a core was itself the limit.
LOAD_CPU_SHARE_MAX = 0.9
LOAD, STORES = ("load", "upstream"), ("postgres", "valkey")


class Figures(msgspec.Struct, frozen=True):
    """One case through one target: medians over its rounds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    first_byte_p50_ms: float
    gateway_cpu_us: float  # per completed request
    chunk_cpu_us: float  # per relayed event; 0 where nothing was streamed
    gateway_cpu_share: float  # of one core
    load_cpu_share: float  # load generator and upstream together, which share a core
    stores_cpu_us: float  # PostgreSQL and Valkey, per completed request
    others_cpu_share: float  # what the machine worked for anybody else, in cores
    completed: int  # over all rounds
    failed: int
    statuses: dict[int, int]

    @property
    def is_load_limited(self) -> bool:
        return self.load_cpu_share > LOAD_CPU_SHARE_MAX


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def median(values: Iterable[float]) -> float:
    """NaNs are left out: a round in which nothing completed has no latency."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def summarize(rounds: Sequence[Result]) -> Figures:
    statuses: dict[int, int] = {}
    for result in rounds:
        for status, count in result.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return Figures(
        per_second=median(r.completed / r.seconds for r in rounds),
        p50_ms=median(percentile(r.latencies_ms, 50) for r in rounds),
        p99_ms=median(percentile(r.latencies_ms, 99) for r in rounds),
        first_byte_p50_ms=median(percentile(r.first_bytes_ms, 50) for r in rounds),
        gateway_cpu_us=median(_each(r.cpu_seconds.get("gateway", 0), r.completed) for r in rounds),
        chunk_cpu_us=median(_each(r.cpu_seconds.get("gateway", 0), r.events) for r in rounds),
        gateway_cpu_share=median(r.cpu_seconds.get("gateway", 0) / r.seconds for r in rounds),
        load_cpu_share=median(
            sum(r.cpu_seconds[name] for name in LOAD) / r.seconds for r in rounds
        ),
        stores_cpu_us=median(
            _each(sum(r.cpu_seconds.get(name, 0) for name in STORES), r.completed) for r in rounds
        ),
        others_cpu_share=median(_others(r.cpu_seconds) / r.seconds for r in rounds),
        completed=sum(r.completed for r in rounds),
        failed=sum(r.failed for r in rounds),
        statuses=statuses,
    )


def _others(cpu_seconds: Mapping[str, float]) -> float:
    """The kernel rounds each process to its ticks, hence never below nothing."""
    known = sum(value for name, value in cpu_seconds.items() if name != "machine")
    return max(cpu_seconds["machine"] - known, 0.0)


def _each(seconds: float, count: int) -> float:
    """Microseconds for each of `count`."""
    return seconds / count * 1_000_000 if count else math.nan
