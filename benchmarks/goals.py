"""Goals in figures: what each command proves, one line each, and how a command ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """One goal, measured. `figure` is what was printed, in words with its unit."""

    goal: str
    target: str
    figure: str
    is_met: bool

    def as_line(self) -> str:
        return (
            f"{'met   ' if self.is_met else 'NOT MET'}  {self.goal}: {self.figure} ({self.target})"
        )


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """The table of a report."""
    lines = ["| goal | target | figure | met |", "|---|---|---|---|"]
    lines += [
        f"| {one.goal} | {one.target} | {one.figure} | {'yes' if one.is_met else '**no**'} |"
        for one in verdicts
    ]
    return "\n".join(lines)


def closing(verdicts: Sequence[Verdict]) -> str:
    """The last line of every command that measures goals."""
    return f"goals: {sum(one.is_met for one in verdicts)} of {len(verdicts)} met"


def read(path: Path) -> list[Verdict]:
    """Verdicts another command wrote. An absent file has none."""
    return msgspec.json.decode(path.read_bytes(), type=list[Verdict]) if path.exists() else []


def write(path: Path, verdicts: Sequence[Verdict]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(verdicts)), indent=2))
