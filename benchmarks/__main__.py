"""`python -m benchmarks`: measure the whole product on this machine. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import msgspec

from benchmarks import cases, goals, kernel, product, report, throwaway

_began = time.monotonic()


def main() -> int:
    chosen = _arguments()
    kernel.check()
    throwaway.enter("benchmarks")
    pace = cases.QUICK if chosen.quick else cases.FULL
    try:
        run = _run(Path(os.environ["TTONK_DATA"]), pace)
    except KeyboardInterrupt:
        return 130
    except (product.Broken, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    text = report.as_markdown(run)
    print("\n" + text)
    if chosen.json:
        chosen.json.write_bytes(report.as_json(run))
    if chosen.write and run.is_valid:
        report.write_between_markers(chosen.write, text)
    if chosen.verdicts:
        goals.write(chosen.verdicts, report.verdicts(run))
    _say("done" if run.is_valid else "the figures do not count: see above")
    print(goals.closing(report.verdicts(run)))
    return 0 if run.is_valid else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, about 40 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="the goals, as JSON")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the tables between the page's markers"
    )
    return parser.parse_args()


def _run(data: Path, pace: cases.Pace) -> report.Run:
    machine = kernel.machine(data)
    _say(f"seeding {pace.organizations} organizations, starting the gateway")
    with product.running(data, pace.organizations) as running:
        _say("measuring")
        memory = cases.measure_memory(running, pace)
        measured = cases.measure(running, pace, _say)
        memory = msgspec.structs.replace(memory, at_end=kernel.resident_bytes(running.gateway_pid))
        database = running.database
    _say("proving the ledger")
    return report.Run(
        machine=machine,
        database=database,
        pace=pace,
        measured=measured,
        memory=memory,
        proof=product.prove(),
        failures=list(cases.failures(measured)),
        is_pinned=kernel.cores() != (None, None),
    )


def _say(line: str) -> None:
    print(f"== {time.monotonic() - _began:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
