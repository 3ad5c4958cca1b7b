"""The rounds of `make faults`, and how much of each is done.

A round is a module of this package with `run(effort, seed) -> list[Verdict]`: it starts what it
needs on the stores the environment names, breaks it, checks every promise against the clients'
own history, and leaves no process. The same seed does the same things in the same order.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from enum import Enum
from typing import cast

from benchmarks.goals import Verdict


class Effort(Enum):
    """How much of a round to do: seconds inside the suite, or the goals' own numbers."""

    SHORT = "short"
    FULL = "full"


Run = Callable[[Effort, int], list[Verdict]]

# In the order they are run. Each is `tests/faults/NAME.py`.
ROUNDS: list[str] = [
    "kills",
    "malformed",
    "tenants",
    "secrets",
    "funds",
    "cuts",
    "upstream",
    "frozen",
    "revocation",
    "network",
    "disk",
    "clock",
    "drain",
    "tokens",
    "machines",
    "memory",
    "slowloris",
    "database_connections",
]


def load(name: str) -> Run:
    return cast(Run, importlib.import_module(f"tests.faults.{name}").run)
