"""A run's tables, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from benchmarks import goals, report
from benchmarks.goals import Verdict
from benchmarks.scale import pages, pair, starts, traffic, workers
from benchmarks.scale.fill import DRAWN_MAX, Size
from benchmarks.scale.pages import Page
from benchmarks.scale.pair import Pair
from benchmarks.scale.starts import Start, Streams
from benchmarks.scale.traffic import Compared
from benchmarks.scale.workers import Drained

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"


class Run(msgspec.Struct, frozen=True):
    """Everything one run found out."""

    machine: dict[str, Any]
    database: dict[str, str]
    size: Size
    large_requests: int
    database_bytes: int
    fill_seconds: dict[str, float]
    compared: list[Compared]
    pages: list[Page]
    pair: Pair
    drained: Drained
    starts: list[Start]  # empty, full
    streams: Streams
    proof: dict[str, Any]
    proof_days: int | None

    @property
    def is_valid(self) -> bool:
        """Figures only count over a proven ledger, and where no request failed."""
        return bool(self.proof["ok"]) and not traffic.failures(self.compared)

    def verdicts(self) -> list[Verdict]:
        wallets = min(DRAWN_MAX, self.size.organizations - 1)
        empty, full = self.starts
        return [
            *traffic.verdicts(self.compared, wallets),
            *pages.verdicts(self.pages),
            *pair.verdicts(self.pair),
            *workers.verdicts(self.drained),
            *starts.verdicts(empty, full, self.streams, self.size.keys),
        ]


def as_json(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=2)


def as_markdown(run: Run) -> str:
    parts = [
        _preface(run),
        goals.as_markdown(run.verdicts()),
        "Requests, 1 kB, keys of many organizations in turn:\n\n" + _requests(run),
        _page_tables(run),
        _closing(run),
    ]
    return "\n\n".join(parts) + "\n"


def _preface(run: Run) -> str:
    size, machine = run.size, run.machine
    fills = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in run.fill_seconds.items())
    return (
        f"Taken {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {machine['cpu']}, {machine['cores']}"
        f" cores; load average before {machine['load_average_before']}. {size.rows:,} usage rows"
        f" with their transfers over six months, {run.large_requests:,} of them one"
        f" organization's; {size.organizations:,} organizations, {size.keys:,} keys;"
        f" {run.database_bytes / 2**30:.1f} GiB.\n\nFilling it took: {fills}."
    )


def _requests(run: Run) -> str:
    rows = []
    for one in run.compared:
        sides = [("empty", one.empty), ("full", one.full), ("full, one wallet", one.one_wallet)]
        rows += [
            [
                str(one.concurrent),
                name,
                f"{found.per_second:,.0f}",
                f"{found.p50_ms:.2f} ms",
                f"{found.p99_ms:.2f} ms",
                f"{found.gateway_cpu_us:,.0f} µs",
                f"{found.stores_cpu_us:,.0f} µs",
            ]
            for name, found in sides
            if found
        ]
    head = ["concurrent", "database", "requests/s", "p50", "p99", "gateway CPU/request"]
    return report.table([*head, "stores' CPU/request"], rows)


def _page_tables(run: Run) -> str:
    shown = [page for page in run.pages if page.is_read]
    rest = sorted(
        {f"{page.name} {page.status}" for page in run.pages if page.status not in (200, 302)}
    )
    parts = [
        f"{title}\n\n" + report.table(["page", "best of 3", "p95"], list(_rows(shown, is_admin)))
        for title, is_admin in (
            ("The large organization's pages, slowest first:", False),
            ("The operator's pages, slowest first:", True),
        )
    ]
    return "\n\n".join([*parts, f"Not pages to read: {', '.join(rest)}."])


def _rows(shown: list[Page], is_admin: bool) -> Iterator[list[str]]:
    chosen = [page for page in shown if page.is_admin is is_admin]
    for page in sorted(chosen, key=lambda page: -page.p95_ms):
        yield [f"`{page.path}`", f"{page.best_ms:.0f} ms", f"{page.p95_ms:.0f} ms"]


def _closing(run: Run) -> str:
    scope = f", single requests of the last {run.proof_days} days" if run.proof_days else ""
    if not run.proof["ok"]:
        return "**The ledger is WRONG after the run: these figures do not count.**"
    checks = ", ".join(f"{check['name']} {check['checked']:,}" for check in run.proof["checks"])
    return f"The ledger is proven after the run{scope}: {checks}."
