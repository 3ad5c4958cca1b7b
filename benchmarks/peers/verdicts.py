"""The goals about peers, from one run's figures. A peer that was not measured meets none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from benchmarks.goals import Verdict
from benchmarks.peers.catalog import NOT_TO_BE_HAD
from benchmarks.peers.measuring import DIRECT, OURS, Side

Measured = Mapping[str, Mapping[str, Side]]
# What a figure of one case is, by case and target.
Figure = Callable[[Measured, str, str], float]


def rate(measured: Measured, case: str, name: str) -> float:
    """Completed per second."""
    return measured[case][name].figures.per_second


def cpu(measured: Measured, case: str, name: str) -> float:
    """Microseconds per completed request, of all the gateway's processes."""
    return measured[case][name].figures.gateway_cpu_us


def added(measured: Measured, case: str, name: str) -> float:
    """Milliseconds over direct, p50."""
    return measured[case][name].figures.p50_ms - measured[case][DIRECT].figures.p50_ms


def added_first_byte(measured: Measured, case: str, name: str) -> float:
    """Milliseconds over direct to the first byte, p50."""
    both = (measured[case][each].figures.first_byte_p50_ms for each in (name, DIRECT))
    return next(both) - next(both)


# (goal, its figure, its unit, case, peer, the least or the most that ours may be of the peer's)
_AT_LEAST, _AT_MOST = ">=", "<="
_GOALS: list[tuple[str, Figure, str, str, str, str, float]] = [
    ("requests/s per core at 64", rate, "/s", "whole-64", "LiteLLM", _AT_LEAST, 25),
    ("requests/s per core at 64", rate, "/s", "whole-64", "Portkey", _AT_LEAST, 3.5),
    ("streams/s per core at 64", rate, "/s", "burst-64", "LiteLLM", _AT_LEAST, 40),
    ("streams/s per core at 64", rate, "/s", "burst-64", "Portkey", _AT_LEAST, 3),
    ("CPU per request at 64", cpu, " µs", "whole-64", "ferrogw", _AT_MOST, 1),
    ("CPU per request at 64", cpu, " µs", "whole-64", "new-api", _AT_MOST, 1),
    ("CPU per request at 64", cpu, " µs", "whole-64", "Bifrost", _AT_MOST, 1),
    ("CPU per request at 64", cpu, " µs", "whole-64", "nginx", _AT_MOST, 10),
    ("first byte added, 16 paced streams, p50", added_first_byte, " ms", "paced-16", "Portkey",
     _AT_MOST, 1 / 3),
    ("latency added alone, p50", added, " ms", "whole-1", "LiteLLM", _AT_MOST, 0.2),
    ("latency added alone, p50", added, " ms", "whole-1", "Portkey", _AT_MOST, 2),
]  # fmt: skip
# Says something, decides nothing: what stands in for a peer that cannot be had.
_STAND_INS = {"new-api": "one-api"}


def verdicts(measured: Measured, missing: Mapping[str, str]) -> list[Verdict]:
    """One for each goal. `missing` says why a peer was not measured, by name."""
    return [_verdict(measured, missing, *goal) for goal in _GOALS]


def _verdict(
    measured: Measured,
    missing: Mapping[str, str],
    what: str,
    figure: Figure,
    unit: str,
    case: str,
    peer: str,
    sense: str,
    bound: float,
) -> Verdict:
    goal, target = f"{what}, against {peer}", f"{sense} {_bound(bound)}x"
    sides = measured.get(case, {})
    if peer not in sides:
        why = missing.get(peer) or NOT_TO_BE_HAD.get(peer) or "left out of this run"
        if (other := _STAND_INS.get(peer)) in sides:
            assert other is not None
            why += f" ({other}: {_compared(measured, figure, unit, case, other)[0]})"
        return Verdict(goal, target, f"not measured: {why}", False)
    words, ratio = _compared(measured, figure, unit, case, peer)
    if any(sides[each].figures.failed for each in (OURS, peer)):
        return Verdict(goal, target, f"does not count, as requests failed: {words}", False)
    is_met = ratio >= bound if sense == _AT_LEAST else ratio <= bound
    return Verdict(goal, target, words, is_met)


def _compared(
    measured: Measured, figure: Figure, unit: str, case: str, peer: str
) -> tuple[str, float]:
    """Ours by theirs, in words and as a number; NaN where theirs is nothing."""
    ours, theirs = figure(measured, case, OURS), figure(measured, case, peer)
    ratio = ours / theirs if theirs > 0 else math.nan
    if math.isnan(ratio):
        return "nothing to compare with: none of its requests completed", ratio
    form = "{:.2f}" if unit == " ms" else "{:,.0f}"
    return f"{ratio:.2f}x: {form.format(ours)} by {form.format(theirs)}{unit}", ratio


def _bound(bound: float) -> str:
    return f"1/{1 / bound:.0f}" if bound < 1 else f"{bound:g}"
