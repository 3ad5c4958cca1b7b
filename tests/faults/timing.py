"""Times against their targets."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.goals import Verdict
from tests.faults.rounds import Effort


def quantile(seconds: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed; 0 of nothing."""
    ordered = sorted(seconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def judged(effort: Effort, goal: str, seconds: float, most: float, what: str = "") -> Verdict:
    """A time that must not exceed `most`. The suite runs on machines that do other things too:
    there it is shown and not judged."""
    is_met = seconds <= most or effort is Effort.SHORT
    unit = f"{seconds * 1000:.0f} ms" if most < 1 else f"{seconds:.2f} s"
    target = f"<= {most * 1000:g} ms" if most < 1 else f"<= {most:g} s"
    return Verdict(goal, target, f"{unit} {what}".strip(), is_met)
