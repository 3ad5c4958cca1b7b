"""Round `drain`: gateways that are told to leave finish what they carry."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
from pathlib import Path

import aiohttp

from benchmarks.goals import Verdict
from tests import cluster as clusters
from tests.faults import ground as grounds
from tests.faults.audit import audit
from tests.faults.clients import MODEL, Seen, Wish, ask
from tests.faults.ground import Ground
from tests.faults.rounds import Effort
from tests.journeys.callers import price
from tests.scripts import PROMPT_TOKENS, Script

STREAMS = {Effort.SHORT: 40, Effort.FULL: 200}
SECONDS_MAX = {Effort.SHORT: 4, Effort.FULL: 30}
GAP_MS = 200
DRAIN_SECONDS = 60.0


def run(effort: Effort, seed: int) -> list[Verdict]:
    verdicts = _drained(effort, seed)
    if effort is Effort.FULL:  # the suite has a test of its own for it
        verdicts.append(_rolled())
    return verdicts


def _drained(effort: Effort, seed: int) -> list[Verdict]:
    customers = {"Alice at work": {"credit": "1000", "key": []}}
    rng = random.Random(seed)
    pieces_max = SECONDS_MAX[effort] * 1000 // GAP_MS
    scripts = [
        Script(tag=f"s{number}", chunks=rng.randint(pieces_max // 2, pieces_max), gap_ms=GAP_MS)
        for number in range(STREAMS[effort])
    ]
    seen = [Seen("Alice at work", Wish(one, is_stream=True, max_tokens=500)) for one in scripts]
    with grounds.opened(customers, has_worker=False, gateways=("gateway-1",)) as ground:
        ground.stack.stop("gateway-1")
        ground.stack.drain_seconds = DRAIN_SECONDS
        ground.start_gateways()
        status = asyncio.run(_stream_and_leave(ground, seen))
        left = sorted(path.name for path in ground.stack.folder.glob("spool*/*"))
        with ground.books() as books:
            found = audit(seen, ground.upstream.received, books)
        is_proven = ground.is_proven()
    found.show()
    return [
        Verdict(
            f"SIGTERM: {len(seen)} open streams of up to {SECONDS_MAX[effort]} s finish",
            "all whole and charged, exit status 0",
            f"{found.whole} of {len(seen)}, exit status {status}, ledger"
            f" {'proves' if is_proven else 'does not prove'}",
            found.whole == len(seen) and found.is_clean and not left and is_proven and not status,
        )
    ]


async def _stream_and_leave(ground: Ground, seen: list[Seen]) -> int | None:
    """All streams are open, then the gateway is told to end: its exit status."""
    (url,), (key,) = ground.urls.values(), ground.keys.values()
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        asyncio.timeout(DRAIN_SECONDS * 2),
        asyncio.TaskGroup() as tasks,
    ):
        running = [tasks.create_task(ask(http, url, key, one)) for one in seen]
        while not all(one.texts or one.ended_at for one in seen):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        process = ground.stack.processes["gateway-1"]
        process.send_signal(signal.SIGTERM)
        await asyncio.wait(running)
    return await asyncio.to_thread(process.wait, 20)


def _rolled() -> Verdict:
    """Both gateways of a cluster replaced under load; a client that fails ends the round."""
    with tempfile.TemporaryDirectory(dir=os.environ["TTONK_DATA"]) as folder:
        data = Path(folder)
        data.chmod(0o711)
        with clusters.opened(data) as cluster:
            load, restarted = clusters.restart_under_load(cluster)
            wrong = sum(
                cluster.books.charged(each) != price(MODEL, PROMPT_TOKENS, pieces)
                for ids, pieces in (
                    (load.whole, clusters.SHORT.chunks),
                    (load.streamed, clusters.LONG.chunks),
                )
                for each in ids
            )
    return Verdict(
        "rolling restart: failed requests",
        "0",
        f"0 of {len(load.whole)} requests and {len(load.streamed)} streams, {wrong} charged wrong,"
        f" exit status {restarted.returncode}",
        not wrong and not restarted.returncode,
    )
