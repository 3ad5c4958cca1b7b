"""A run's figures for people (Markdown tables) and for programs (JSON)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import figures, goals
from benchmarks.cases import (
    BODIES,
    BURSTS,
    PACED,
    WALLETS,
    WHOLE,
    WHOLE_64,
    Case,
    Measured,
    Memory,
    Pace,
)
from benchmarks.figures import Figures
from benchmarks.goals import Verdict

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
MIB = 1024 * 1024
# Above this much of strangers' work, rates and latencies describe the strangers.
QUIET_CORES_MAX = 0.1
# A gateway that uses more of its one core was itself the limit.
GATEWAY_CPU_SHARE_FULL = 0.9
# Goals.
CHUNK_CPU_US_MAX, IDLE_MIB_MAX, STREAM_KIB_MAX = 75, 90, 30


class Run(msgspec.Struct, frozen=True):
    """Everything one run found out."""

    machine: dict[str, Any]
    database: dict[str, str]
    pace: Pace
    measured: list[Measured]
    memory: Memory
    proof: dict[str, Any]
    failures: list[str]
    is_pinned: bool

    @property
    def is_valid(self) -> bool:
        """Figures only count over a proven ledger, and where nothing failed."""
        return bool(self.proof["ok"]) and not self.failures

    def find(self, case: Case) -> Measured:
        return next(one for one in self.measured if one.case.name == case.name)


def as_json(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=2)


def verdicts(run: Run) -> list[Verdict]:
    """The goals that are about this gateway alone."""
    chunk, memory = run.find(PACED[0]).gateway.chunk_cpu_us, run.memory
    return [
        Verdict(
            "CPU per relayed chunk, 16 paced streams",
            f"<= {CHUNK_CPU_US_MAX} µs",
            micros(chunk),
            run.is_valid and chunk <= CHUNK_CPU_US_MAX,
        ),
        Verdict(
            "resident memory of a gateway process, idle",
            f"<= {IDLE_MIB_MAX} MiB",
            f"{memory.idle / MIB:.1f} MiB",
            run.is_valid and memory.idle <= IDLE_MIB_MAX * MIB,
        ),
        Verdict(
            f"resident memory per open stream, of {memory.streams}",
            f"<= {STREAM_KIB_MAX} KiB",
            f"{memory.per_stream / 1024:.1f} KiB",
            run.is_valid and memory.per_stream <= STREAM_KIB_MAX * 1024,
        ),
    ]


def as_markdown(run: Run) -> str:
    parts = [_preface(run), _whole(run), _streams(run), _bodies(run), _rest(run)]
    parts += [goals.as_markdown(verdicts(run)), _closing(run)]
    return "\n\n".join(parts) + "\n"


def write_between_markers(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the markers. Raises ValueError where there are none."""
    page = path.read_text()
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{path} has no {begin} … {end}")
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")


def _preface(run: Run) -> str:
    machine, pace = run.machine, run.pace
    pinned = (
        "gateway pinned to one core, upstream and load generator to another, stores unpinned"
        if run.is_pinned
        else "one core only, so nothing is pinned: rates and latencies include the load's own work"
    )
    others = figures.median(one.gateway.others_cpu_share for one in run.measured)
    settings = ", ".join(f"{name} {value}" for name, value in run.database.items())
    return (
        f"Taken {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: medians of {pace.rounds}"
        f" {'round' if pace.rounds == 1 else 'rounds'} of {pace.seconds:g} s; {pinned}.\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, Python"
        f" {machine['python']}; load average before {machine['load_average_before']};"
        f" making 8 kB durable takes {machine['fsync_ms']} ms. PostgreSQL: {settings}.\n\n"
        f"Other programs used {others:.2f} of the {machine['cores']} cores meanwhile"
        f"{'.' if others <= QUIET_CORES_MAX else ': read CPU times and ratios, not rates.'}"
    )


def _whole(run: Run) -> str:
    rows = []
    for case in [*WHOLE, *WALLETS]:
        one = run.find(case)
        label = f"{case.concurrent}" + (
            f", {run.pace.organizations - 1} wallets" if case.all_keys else ""
        )
        found = one.gateway
        work = [micros(found.gateway_cpu_us), micros(found.stores_cpu_us)]
        rows.append([label, *_rates(one), *work, *_loads(one)])
    head = ["concurrent", "requests/s", "direct", "added p50", "added p99", "gateway CPU/request"]
    head += ["stores' CPU/request", "core in use", "limited by"]
    return "Whole answers, 1 kB request:\n\n" + table(head, rows)


def _streams(run: Run) -> str:
    rows = []
    for case in [*BURSTS, *PACED]:
        one = run.find(case)
        kind = "paced, 50 x 20 ms" if case in PACED else "burst, 50 tokens"
        found = one.gateway
        rows.append(
            [
                kind,
                str(case.concurrent),
                number(found.per_second),
                number(one.direct.per_second if one.direct else math.nan),
                millis(one.added_first_byte_ms),
                micros(found.gateway_cpu_us),
                micros(found.chunk_cpu_us),
                *_loads(one),
            ]
        )
    head = ["stream", "concurrent", "streams/s", "direct", "added first byte p50"]
    head += ["gateway CPU/stream", "CPU/chunk", "core in use", "limited by"]
    return "Streams (53 events each):\n\n" + table(head, rows)


def _bodies(run: Run) -> str:
    cases = [next(case for case in WHOLE if case.concurrent == 16), *BODIES]
    rows = []
    for case in cases:
        one = run.find(case)
        size = f"{case.body_bytes // 1000} kB"
        rows.append([size, *_rates(one), micros(one.gateway.gateway_cpu_us), *_loads(one)])
    head = ["request", "requests/s", "direct", "added p50", "added p99", "gateway CPU/request"]
    return "Bodies, 16 concurrent:\n\n" + table([*head, "core in use", "limited by"], rows)


def _rest(run: Run) -> str:
    memory, one = run.memory, run.find(WHOLE_64).gateway
    many = run.find(WALLETS[0]).gateway
    rows = [
        ["resident memory, idle", f"{memory.idle / MIB:.1f} MiB"],
        [
            f"resident memory per open stream, of {memory.streams}",
            f"{memory.per_stream / 1024:.1f} KiB",
        ],
        ["resident memory at the end of the run", f"{memory.at_end / MIB:.1f} MiB"],
        [
            f"one wallet against {run.pace.organizations - 1}, requests/s",
            f"{one.per_second / many.per_second:.2f}x" if many.per_second else "-",
        ],
    ]
    return table(["", "figure"], rows)


def _closing(run: Run) -> str:
    total = sum(one.gateway.completed for one in run.measured)
    if run.proof["ok"]:
        lines = [f"The ledger is proven after the run ({total:,} measured requests charged):"]
    else:
        lines = ["**The ledger is WRONG after the run: these figures do not count.**"]
    lines += [
        f"{check['name']} {check['checked']:,} {'ok' if check['ok'] else 'FAILED'};"
        for check in run.proof["checks"]
    ]
    text = " ".join(lines).rstrip(";") + "."
    return "\n\n".join([text, *[f"**Failed: {line}.**" for line in run.failures]])


def _rates(one: Measured) -> list[str]:
    direct = one.direct.per_second if one.direct else math.nan
    rates = [number(one.gateway.per_second), number(direct)]
    return [*rates, millis(one.added_p50_ms), millis(one.added_p99_ms)]


def _loads(one: Measured) -> list[str]:
    """How busy the gateway's core was, and which side was the limit."""
    found = one.gateway
    return [f"{found.gateway_cpu_share:.0%}", limit(found, is_paced=one.case in PACED)]


def limit(found: Figures, *, is_paced: bool) -> str:
    """In a word, which side kept the rate from being higher."""
    if found.is_load_limited:
        return "load side"
    if found.gateway_cpu_share > GATEWAY_CPU_SHARE_FULL:
        return "gateway"
    return "pace" if is_paced else "waiting"


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def millis(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f} ms"


def micros(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f} µs"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that reads well unrendered too."""
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(map(str.ljust, cells, widths)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])
