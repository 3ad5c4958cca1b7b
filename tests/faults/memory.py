"""What is left after many requests and aborted streams: no memory, socket, task, slot or hold."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from benchmarks import kernel
from benchmarks import load as load_generator
from benchmarks import upstream as burst_upstream
from benchmarks.goals import Verdict
from benchmarks.load import Job
from tests.faults import arena, streams
from tests.faults.arena import Arena, Customer
from tests.faults.rounds import Effort
from tests.journeys.books import until
from tests.scripts import Script
from tests.upstream import ScriptedUpstream

CREDIT_NANOS = 900_000 * 10**9
AT_ONCE = 64
SLOPE_MB_MAX = 1.0


def run(effort: Effort, seed: int) -> list[Verdict]:
    is_full = effort is Effort.FULL
    warm, measured, aborted = (200_000, 100_000, 10_000) if is_full else (1_000, 1_000, 200)
    with arena.opened("memory") as stage, ScriptedUpstream() as upstream:
        return asyncio.run(_run(stage, upstream, warm, measured, aborted, is_full=is_full))


async def _run(
    stage: Arena, upstream: ScriptedUpstream, warm: int, measured: int, aborted: int,
    *, is_full: bool,
) -> list[Verdict]:  # fmt: skip
    customer = await asyncio.to_thread(stage.enrol, "Remembered", CREDIT_NANOS)
    server = await burst_upstream.serve(0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.to_thread(stage.serve_from, f"http://127.0.0.1:{port}/20x0/v1")
    await _load(stage, customer, warm)
    before = kernel.resident_bytes(stage.pid())
    failed = await _load(stage, customer, measured)
    grown = (kernel.resident_bytes(stage.pid()) - before) / 1e6
    server.close()
    slope = Verdict(
        "memory: slope",
        f"< {SLOPE_MB_MAX:g} MB per 100,000 requests after 200,000",
        f"{grown:.2f} MB for {measured:,} after {warm:,}, whole and streamed; {failed} failed",
        # A short round is still growing into what it needs, and only shows that it is measured.
        not failed and (grown < SLOPE_MB_MAX * measured / 100_000 or not is_full),
    )
    return [slope, await _abort(stage, upstream, customer, aborted)]


async def _load(stage: Arena, customer: Customer, requests: int) -> int:
    """Whole answers and streams in turns. How many failed."""
    port = urlsplit(stage.urls[0]).port
    assert port is not None
    done = failed = turn = 0
    while done < requests:
        job = Job(
            port, "/v1/chat/completions", "qwen-turbo", 1_200, turn % 2 == 1, AT_ONCE,
            min(10.0, max(1.0, requests / 3_000)), 0.2, [customer.key], {},
        )  # fmt: skip
        result = await load_generator.run(job)
        done += result.completed
        failed += result.failed
        turn += 1
    return failed


async def _abort(
    stage: Arena, upstream: ScriptedUpstream, customer: Customer, count: int
) -> Verdict:
    """Streams whose clients hang up in the middle: everything is as it was before them."""
    url, pid = stage.urls[0], stage.pid()
    await asyncio.to_thread(
        stage.operate,
        ["add_channel", "qwen-turbo", "--base-url", upstream.base_url, "--upstream-model",
         "scripted", "--priority", "1"],
    )  # fmt: skip
    script = Script(chunks=50, gap_ms=100)
    async with streams.session(customer.key) as http:
        await _abort_some(http, url, script, 20)  # what starts at the first starts before
        await _until_idle(stage, url)
        sockets, tasks = streams.sockets(pid), streams.metrics(url)["ttonk_tasks"]
        for _ in range(0, count, AT_ONCE):
            await _abort_some(http, url, script, AT_ONCE)
    await _until_idle(stage, url)
    until(lambda: streams.sockets(pid) <= sockets, "the sockets are closed")
    more_sockets = max(0, streams.sockets(pid) - sockets)
    left = streams.metrics(url)  # asking takes a socket too
    more_tasks = max(0.0, left["ttonk_tasks"] - tasks)
    slots, holds = left["ttonk_exchanges_in_flight"], stage.books.pending()
    return Verdict(
        "memory: aborted streams",
        f"{count:,} leave 0 sockets, tasks, slots, holds",
        f"{more_sockets} sockets, {more_tasks:.0f} tasks, {slots:.0f} slots, {holds} holds,"
        f" {left['ttonk_body_bytes']:.0f} bytes of bodies left",
        not (more_sockets or more_tasks or slots or holds or left["ttonk_body_bytes"]),
    )


async def _abort_some(http: object, url: str, script: Script, count: int) -> None:
    await asyncio.gather(
        *[streams.begin_and_leave(http, url, script) for _ in range(count)]  # type: ignore[arg-type]
    )


async def _until_idle(stage: Arena, url: str) -> None:
    def is_idle() -> bool:
        return not streams.metrics(url)["ttonk_exchanges_in_flight"] and not stage.books.pending()

    await asyncio.to_thread(until, is_idle, "everything has ended", seconds=60)
    await asyncio.sleep(0.5)
