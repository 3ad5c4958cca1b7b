"""`python -m benchmarks.peers`: this gateway and others, side by side. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks import goals, kernel, product, throwaway
from benchmarks import report as product_report
from benchmarks.peers import measuring, report, verdicts
from benchmarks.peers.catalog import PEERS
from benchmarks.peers.measuring import OURS
from benchmarks.peers.running import running

_began = time.monotonic()


def main() -> int:
    chosen = _arguments()
    kernel.check()
    throwaway.enter("benchmarks.peers")
    try:
        run = _run(Path(os.environ["TTONK_DATA"]), chosen.only, is_quick=chosen.quick)
    except KeyboardInterrupt:
        return 130
    except (product.Broken, OSError) as error:
        print(f"benchmarks.peers: {error}", file=sys.stderr)
        return 1
    text = report.as_markdown(run)
    print("\n" + text)
    if chosen.json:
        chosen.json.write_bytes(report.as_json(run))
    if chosen.write and run.is_valid:
        product_report.write_between_markers(chosen.write, text, report.BEGIN, report.END)
    if chosen.verdicts:
        goals.write(chosen.verdicts, run.verdicts)
    _say("done" if run.is_valid else "the figures do not count: see above")
    print(goals.closing(run.verdicts))
    return 0 if run.is_valid else 1


def _arguments() -> argparse.Namespace:
    names = [OURS, *(peer.name for peer in PEERS)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four cases, one short round")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME",
        type=lambda name: {each.lower(): each for each in names}.get(name.lower(), name),
        help=f"of {', '.join(names)}; {OURS} is always measured",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="the goals, as JSON")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the tables between the page's markers"
    )
    return parser.parse_args()


def _run(data: Path, only: list[str], *, is_quick: bool) -> report.Run:
    machine = kernel.machine(data)
    pace = measuring.QUICK if is_quick else measuring.FULL
    todo = measuring.QUICK_CASES if is_quick else measuring.CASES
    _say("seeding, starting the gateway")
    with product.running(data, 2) as ours:
        chosen = [peer for peer in PEERS if peer.name in only]
        with running(chosen, data / "peers", ours.upstream_port, _say) as (peers, missing):
            for name, why in missing.items():
                _say(f"{name}: {why}")
            idle = {OURS: kernel.resident_bytes(ours.gateway_pid)}
            idle |= {peer.name: peer.idle_bytes for peer in peers}
            _say("measuring")
            measured = measuring.measure(ours, measuring.targets(ours, peers), todo, pace, _say)
        database = ours.database
    _say("proving the ledger")
    return report.Run(
        machine=machine,
        database=database,
        pace=pace,
        cases=todo,
        measured=measured,
        idle_bytes=idle,
        missing=missing,
        proof=product.prove(),
        verdicts=verdicts.verdicts(measured, missing),
    )


def _say(line: str) -> None:
    print(f"== {time.monotonic() - _began:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
