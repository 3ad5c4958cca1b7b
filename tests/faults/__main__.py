"""`python -m tests.faults`: break the product in every way its goals name, and count.

Runs inside `python -m config.launcher exec --throwaway --`, as `make faults` does.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")

from benchmarks import goals, kernel
from benchmarks.goals import Verdict
from tests.faults.rounds import ROUNDS, Effort, load

BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"


def main() -> int:
    chosen = _arguments()
    django.setup()
    # Told to end, a round takes apart what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    effort = Effort.SHORT if chosen.short else Effort.FULL
    verdicts: list[Verdict] = []
    took: dict[str, float] = {}
    for name in chosen.only or ROUNDS:
        print(f"== {name} (seed {chosen.seed})", flush=True)
        began = time.monotonic()
        found = _run(name, effort, chosen.seed)
        took[name] = time.monotonic() - began
        for one in found:
            print(one.as_line(), flush=True)
        verdicts += found
    if chosen.write:
        _write(chosen.write, verdicts, took, effort, chosen.seed)
    print(goals.closing(verdicts), flush=True)
    return 0 if all(one.is_met for one in verdicts) else 1


def _run(name: str, effort: Effort, seed: int) -> list[Verdict]:
    try:
        return load(name)(effort, seed)
    except Exception as error:
        # A round that breaks is a goal not met, and the others still have their turn.
        traceback.print_exc()
        return [Verdict(f"round {name} runs to its end", "yes", f"{type(error).__name__}", False)]


def _write(
    page: Path, verdicts: list[Verdict], took: dict[str, float], effort: Effort, seed: int
) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    machine = kernel.machine(Path.cwd())
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    rounds = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
    text = (
        f"Taken {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, effort {effort.value}, seed {seed}.\n"
        f"Machine: {facts}.\nRounds: {rounds}.\n\n{goals.as_markdown(verdicts)}\n\n"
        f"{goals.closing(verdicts)}"
    )
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="what the suite does, some seconds each"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed breaks the same things")
    parser.add_argument(
        "--only", nargs="+", choices=ROUNDS, metavar="ROUND", help=", ".join(ROUNDS)
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the report into the page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
