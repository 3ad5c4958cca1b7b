"""`python -m benchmarks.scale`: the product on millions of rows. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen

import msgspec

from benchmarks import goals, kernel, product, report, throwaway
from benchmarks.scale import pages, pair, sides, starts, traffic, workers
from benchmarks.scale import report as scale_report
from benchmarks.scale.fill import DRAWN_MAX, Size
from benchmarks.scale.sides import Side
from benchmarks.scale.traffic import Pace
from config.launcher import folder

_began = time.monotonic()
PROOF_SECONDS = 600.0
# Above this many rows only the last days' requests are proven one by one; sums always whole.
PROVEN_WHOLE_MAX = 500_000
PROVEN_DAYS = 8


class Plan(msgspec.Struct, frozen=True):
    """How large, how long."""

    size: Size
    pace: Pace
    page_times: int
    backlog: int


QUICK = Plan(Size(200_000, 2_000, 20_000), Pace(2, 1.0), 5, 50_000)
FULL = Plan(Size(10_000_000, 100_000, 1_000_000), Pace(5, 2.0), 20, 500_000)


def main() -> int:
    chosen = _arguments()
    kernel.check()
    throwaway.enter("benchmarks.scale")
    import django

    django.setup()
    plan = QUICK if chosen.quick else FULL
    size = Size(
        rows=chosen.rows or plan.size.rows,
        organizations=chosen.organizations or plan.size.organizations,
        keys=chosen.keys or plan.size.keys,
    )
    plan = msgspec.structs.replace(plan, size=size, backlog=min(plan.backlog, size.rows // 2))
    try:
        run = _run(Path(os.environ["TTONK_DATA"]), plan)
    except KeyboardInterrupt:
        return 130
    except (product.Broken, OSError) as error:
        print(f"benchmarks.scale: {error}", file=sys.stderr)
        return 1
    return _tell(run, chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 rows, two minutes")
    for name in ("rows", "organizations", "keys"):
        parser.add_argument(f"--{name}", type=int, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="the goals, as JSON")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the tables between the page's markers"
    )
    return parser.parse_args()


def _tell(run: scale_report.Run, chosen: argparse.Namespace) -> int:
    text, verdicts = scale_report.as_markdown(run), run.verdicts()
    print("\n" + text)
    if chosen.json:
        chosen.json.write_bytes(scale_report.as_json(run))
    if chosen.verdicts:
        chosen.verdicts.write_bytes(msgspec.json.encode(verdicts))
    if chosen.write and run.is_valid:
        report.write_between_markers(chosen.write, text, scale_report.BEGIN, scale_report.END)
    for verdict in verdicts:
        print(verdict.as_line())
    print(goals.closing(verdicts))
    return 0 if run.is_valid and all(one.is_met for one in verdicts) else 1


def _run(data: Path, plan: Plan) -> scale_report.Run:
    machine = kernel.machine(data)
    _, load_core = kernel.cores()
    with ExitStack() as stack:
        upstream = stack.enter_context(product.leashed("benchmarks.upstream", core=load_core))
        loads = [
            stack.enter_context(product.leashed("benchmarks.load", core=load_core))
            for _ in range(2)
        ]
        upstream_port = int(product.first_line(upstream))
        # As many organizations as keys are drawn from, so that both sides look up as many.
        drawn = min(DRAWN_MAX, plan.size.organizations - 1) + 1
        _say(f"filling {plan.size.rows:,} rows, {plan.size.keys:,} keys")
        full = sides.make("full", 1, plan.size, upstream_port)
        empty = sides.make("empty", 2, Size(0, drawn, drawn), upstream_port)
        watched = {"upstream": upstream.pid, **product.stores(data)}
        return _measure(data, plan, machine, empty, full, loads, watched)


def _measure(
    data: Path,
    plan: Plan,
    machine: dict[str, str | int | float],
    empty: Side,
    full: Side,
    loads: list[Popen[str]],
    watched: dict[str, int],
) -> scale_report.Run:
    _say("starts and look-ups")
    started = [starts.measure(data, side) for side in (empty, full)]
    gateway_core, _ = kernel.cores()
    with (
        sides.gateway(data, empty, "gateway-empty", core=gateway_core) as on_empty,
        sides.gateway(data, full, "gateway-full", core=gateway_core) as on_full,
    ):
        compared = traffic.measure(loads[0], on_empty, on_full, watched, plan.pace, _say)
        _say("pages")
        found = _pages(full, on_full.port, plan.page_times)
    _say("two gateways against one")
    with (
        sides.gateway(data, full, "gateway-1", core=None) as first,
        sides.gateway(data, full, "gateway-2", core=None) as second,
    ):
        paired = pair.measure(loads, [first, second], watched, plan.pace)
    _say("streams on few connections")
    streams = starts.measure_streams(data, full, loads[0])
    _say(f"workers, {plan.backlog:,} requests behind")
    drained = workers.measure(data, full, plan.backlog)
    _say("proving the ledger")
    days = None if plan.size.rows <= PROVEN_WHOLE_MAX else PROVEN_DAYS
    return scale_report.Run(
        machine, full.filled.database, plan.size, full.filled.large_requests, full.filled.bytes,
        full.filled.seconds, compared, found, paired, drained, started, streams,
        _prove(full, days), days,
    )  # fmt: skip


def _pages(side: Side, port: int, times: int) -> list[pages.Page]:
    sample = pages.sample(side.database_url)
    return [
        *pages.measure(port, side.filled.owner_session, sample, times),
        *pages.measure_admin(port, side.filled.operator_session, side.database_url, sample, times),
    ]


def _prove(side: Side, days: int | None) -> dict[str, object]:
    command = [sys.executable, "manage.py", "prove_ledger", "--json"]
    if days:
        command += ["--since", (datetime.now(UTC) - timedelta(days=days)).date().isoformat()]
    done = subprocess.run(
        command, cwd=folder.PROJECT, env=os.environ | side.environment, text=True,
        capture_output=True, timeout=PROOF_SECONDS, check=False,
    )  # fmt: skip
    try:
        answer: dict[str, object] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise product.Broken(f"prove_ledger failed:\n{done.stderr[-2000:]}") from None
    return answer


def _say(line: str) -> None:
    print(f"== {time.monotonic() - _began:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
