"""`python -m benchmarks`: measure the whole product on this machine. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from benchmarks import cases, kernel, product, report

# Ours for the time of the run: the caller's stores and providers are never touched.
_FOREIGN = {
    *("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "TTONK_DATA", "TTONK_SPOOL_DIR"),
    *("DASHSCOPE_API_KEY", "DEEPSEEK_API_KEY", "TTONK_LOCAL_MODEL_URL"),
}
_INSIDE = "TTONK_BENCHMARK_INSIDE"
_began = time.monotonic()


def main() -> int:
    chosen = _arguments()
    kernel.check()
    if _INSIDE not in os.environ:
        _go_inside()
    # The stores are stopped by the launcher above us once we end, which is what a signal asks for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.local"
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
    _say("done" if run.is_valid else "the figures do not count: see above")
    return 0 if run.is_valid else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, about 40 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the tables between the page's markers"
    )
    return parser.parse_args()


def _go_inside() -> None:
    """Become the launcher, with this command under it on stores of its own. Does not return."""
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    command = [sys.executable, "-m", "config.launcher", "exec", "--throwaway", "--"]
    command += [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
    _say("starting PostgreSQL and Valkey on a throw-away folder")
    os.execve(sys.executable, command, environment | {_INSIDE: "1"})


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
