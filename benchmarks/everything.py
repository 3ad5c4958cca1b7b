"""`python -m benchmarks.everything`: all measurements one after the other, and one table of goals.

Each is a process of its own on stores of its own; one that fails does not keep the others from
running, but its goals are not met.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import goals
from benchmarks.goals import Verdict

MODULES = ("benchmarks", "benchmarks.peers", "benchmarks.scale")
# Longer than any of them takes on a slow machine, first installation of the peers included.
SECONDS_MAX = 3600.0


def main() -> int:
    chosen, passed_on = _arguments()
    with tempfile.TemporaryDirectory(prefix="ttonkapi-goals-") as folder:
        ended = [_measure(module, passed_on, Path(folder)) for module in existing(chosen.without)]
    verdicts = [verdict for _, found in ended for verdict in found]
    print(f"\n{goals.as_markdown(verdicts)}\n")
    if chosen.verdicts:
        goals.write(chosen.verdicts, verdicts)
    print(goals.closing(verdicts))
    return max(status for status, _ in ended)


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.everything", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds: no figures to quote")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="all tables into this page")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="all goals, as JSON")
    parser.add_argument(
        "--without", nargs="+", default=[], choices=MODULES, metavar="MODULE",
        help=f"of {', '.join(MODULES)}",
    )  # fmt: skip
    chosen = parser.parse_args()
    passed_on = ["--quick"] if chosen.quick else []
    passed_on += ["--write", str(chosen.write.resolve())] if chosen.write else []
    return chosen, passed_on


def existing(without: Sequence[str]) -> list[str]:
    """The measurements there are, in their order."""
    return [
        module
        for module in MODULES
        if module not in without and importlib.util.find_spec(module) is not None
    ]


def _measure(module: str, passed_on: Sequence[str], folder: Path) -> tuple[int, list[Verdict]]:
    """One measurement's exit status and verdicts; where it ended without any, one that says so."""
    print(f"\n=== python -m {module} {' '.join(passed_on)}", flush=True)
    path = folder / f"{module}.json"
    command = [sys.executable, "-m", module, *passed_on, "--verdicts", str(path)]
    try:
        status = subprocess.run(command, timeout=SECONDS_MAX, check=False).returncode
    except subprocess.TimeoutExpired:
        status = 1
    verdicts = goals.read(path)
    if status and not verdicts:
        verdicts = [Verdict(f"python -m {module}", "measures its goals", f"ended {status}", False)]
    return status, verdicts


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # what was running has had the same signal
