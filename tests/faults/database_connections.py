"""Five hundred streams at once, on twenty connections to the database in all."""

from __future__ import annotations

import asyncio

from benchmarks.goals import Verdict
from tests.faults import arena, streams
from tests.faults.arena import Arena
from tests.faults.rounds import Effort
from tests.scripts import Script
from tests.upstream import ScriptedUpstream

CONNECTIONS_MAX = 20
GATEWAYS = 2
CREDIT_NANOS = 10_000 * 10**9


def run(effort: Effort, seed: int) -> list[Verdict]:
    count, seconds = (500, 10.0) if effort is Effort.FULL else (100, 2.0)
    with arena.opened("connections") as stage, ScriptedUpstream() as upstream:
        stage.serve_from(upstream.base_url)
        stage.start_others(GATEWAYS - 1)
        whole, most = asyncio.run(_stream(stage, count, seconds))
        is_proven = stage.is_proven()
    return [
        Verdict(
            f"{count} concurrent streams on {CONNECTIONS_MAX} database connections in all",
            "no failures",
            f"{count - whole} failed on at most {most} connections of {GATEWAYS} gateways,"
            f" {'proven' if is_proven else 'NOT PROVEN'}",
            whole == count and most <= CONNECTIONS_MAX and is_proven,
        )
    ]


async def _stream(stage: Arena, count: int, seconds: float) -> tuple[int, int]:
    """How many streams came whole, and the most connections that were open meanwhile."""
    customer = await asyncio.to_thread(stage.enrol, "Streaming", CREDIT_NANOS)
    script = Script(chunks=20, gap_ms=int(seconds * 1000 / 20))
    async with streams.session(customer.key) as http:
        calls = asyncio.gather(
            *[
                streams.ask(http, stage.urls[at % GATEWAYS], script, stream=True)
                for at in range(count)
            ]
        )
        most = 0
        while not calls.done():
            most = max(most, _connections(stage))
            await asyncio.sleep(0.05)
        return sum(await calls), most


def _connections(stage: Arena) -> int:
    """Of the database, without this look at it."""
    (row,) = stage.books.rows(
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return int(row["n"])
