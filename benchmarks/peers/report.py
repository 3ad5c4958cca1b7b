"""A run's figures for people (Markdown tables) and for programs (JSON)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from benchmarks import cases, figures, goals
from benchmarks.cases import Case
from benchmarks.goals import Verdict
from benchmarks.peers.catalog import NOT_TO_BE_HAD, PEERS
from benchmarks.peers.measuring import DIRECT, OURS, Pace, Side
from benchmarks.report import MIB, QUIET_CORES_MAX, limit, micros, millis, number, table

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


class Run(msgspec.Struct, frozen=True):
    """Everything one run found out."""

    machine: dict[str, Any]
    database: dict[str, str]
    pace: Pace
    cases: Sequence[Case]
    measured: Mapping[str, Mapping[str, Side]]
    idle_bytes: Mapping[str, int]
    missing: Mapping[str, str]
    proof: dict[str, Any]
    verdicts: Sequence[Verdict]

    @property
    def failures(self) -> list[str]:
        """Ours and the upstream's; a peer's own only cost it its goals."""
        return [
            f"{case}, {name}: {side.figures.failed} failed {side.figures.statuses}"
            for case, sides in self.measured.items()
            for name, side in sides.items()
            if name in (OURS, DIRECT) and (side.figures.failed or not side.figures.completed)
        ]

    @property
    def is_valid(self) -> bool:
        return bool(self.proof["ok"]) and not self.failures


def as_json(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=2)


def as_markdown(run: Run) -> str:
    parts = [_preface(run)]
    parts += [_case(run, case) for case in run.cases]
    parts += [_memory(run), _absentees(run), goals.as_markdown(run.verdicts), _closing(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _preface(run: Run) -> str:
    machine, pace = run.machine, run.pace
    others = figures.median(
        side.figures.others_cpu_share for sides in run.measured.values() for side in sides.values()
    )
    rounds = "round" if pace.rounds == 1 else "rounds"
    return (
        f"Taken {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: medians of {pace.rounds} {rounds} of"
        f" {pace.seconds:g} s, the gateways in turn within each case; each gateway pinned to the"
        " same one core, upstream and load generator to another, ttonkapi's stores unpinned.\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, Python"
        f" {machine['python']}; load average before {machine['load_average_before']}; making 8 kB"
        f" durable takes {machine['fsync_ms']} ms. Other programs used {others:.2f} of the"
        f" {machine['cores']} cores meanwhile"
        f"{'.' if others <= QUIET_CORES_MAX else ': read CPU times and ratios, not rates.'}"
    )


def _title(case: Case) -> str:
    kind = "whole answers, requests"
    if case in cases.PACED:
        kind = "paced streams of 50 tokens, one every 20 ms, requests"
    elif case.is_stream:
        kind = "burst streams of 50 tokens, requests"
    return f"**{case.concurrent} concurrent**, {kind} of {case.body_bytes // 1000} kB:"


def _case(run: Run, case: Case) -> str:
    sides = run.measured[case.name]
    unit = "streams" if case.is_stream else "requests"
    head = ["gateway", f"{unit}/s", "ttonkapi does", "added p50", "added p99"]
    head += ["added first byte p50"] if case.is_stream else []
    head += ["CPU each", "ttonkapi's to it", *(["CPU/chunk"] if case.is_stream else [])]
    rows = [_row(case, name, side, sides) for name, side in sides.items() if name != DIRECT]
    direct = number(sides[DIRECT].figures.per_second)
    return f"{_title(case)} direct {direct}/s\n\n" + table(
        [*head, "core in use", "limited by"], rows
    )


def _row(case: Case, name: str, side: Side, sides: Mapping[str, Side]) -> list[str]:
    one, ours, direct = side.figures, sides[OURS].figures, sides[DIRECT].figures
    is_ours = name == OURS
    row = [name, number(one.per_second)]
    row.append("" if is_ours else _times(ours.per_second, one.per_second))
    row += [millis(one.p50_ms - direct.p50_ms), millis(one.p99_ms - direct.p99_ms)]
    if case.is_stream:
        row.append(millis(one.first_byte_p50_ms - direct.first_byte_p50_ms))
    cpu = micros(one.gateway_cpu_us)
    row.append(f"{cpu} + {micros(one.stores_cpu_us)} stores" if is_ours else cpu)
    row.append("" if is_ours else _times(ours.gateway_cpu_us, one.gateway_cpu_us))
    if case.is_stream:
        row.append(micros(one.chunk_cpu_us))
    failed = f"{one.failed} failed; " if one.failed else ""
    return [*row, f"{one.gateway_cpu_share:.0%}", failed + limit(one, is_paced=case in cases.PACED)]


def _times(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}x" if theirs and not math.isnan(theirs) else "-"


def _memory(run: Run) -> str:
    about = {OURS: "everything on: keys, limits, a durable hold and charge, usage records"}
    about |= {peer.name: peer.about for peer in PEERS}
    rows = []
    for name, idle in run.idle_bytes.items():
        most = max(sides[name].resident_bytes for sides in run.measured.values())
        rows.append([name, about[name], f"{idle / MIB:.0f} MiB", f"{most / MIB:.0f} MiB"])
    head = ["gateway", "what it does here", "resident, idle", "most, under load"]
    return table(head, rows)


def _absentees(run: Run) -> str:
    missing = {name: f"not to be had: {why}" for name, why in NOT_TO_BE_HAD.items()}
    return "\n".join(f"- {name}: {why}." for name, why in (missing | {**run.missing}).items())


def _closing(run: Run) -> str:
    if not run.proof["ok"]:
        lines = ["**The ledger is WRONG after the run: these figures do not count.**"]
    else:
        charged = next((c["checked"] for c in run.proof["checks"] if c["name"] == "charges"), 0)
        lines = [f"ttonkapi's ledger is proven after the run: {charged:,} charges."]
    return "\n\n".join([*lines, *[f"**Failed: {line}.**" for line in run.failures]])
