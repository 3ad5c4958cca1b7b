"""Two hundred connections that send or read next to nothing, and everybody else's requests."""

from __future__ import annotations

import asyncio

from benchmarks.goals import Verdict
from tests.faults import arena, streams
from tests.faults.arena import Arena
from tests.faults.rounds import Effort
from tests.upstream import ScriptedUpstream

SLOW = 200
HEALTHY = 4
KINDS = ("head", "body", "reader")
CREDIT_NANOS = 10_000 * 10**9


def run(effort: Effort, seed: int) -> list[Verdict]:
    periods, seconds = (8, 5.0) if effort is Effort.FULL else (2, 1.0)
    with arena.opened("slowloris") as stage, ScriptedUpstream() as upstream:
        stage.serve_from(upstream.base_url)
        quiet, slow = asyncio.run(_interleave(stage, periods, seconds))
    print("slow connections were told:", dict(streams.SEEN), flush=True)
    # One that is refused at its head is not slow.
    are_slow = not any(told.startswith("413") for _, told in streams.SEEN)
    quiet_p99, slow_p99 = (streams.quantile(one, 0.99) * 1000 for one in (quiet, slow))
    # A short round beside other tests says only that everybody is served.
    is_met = slow_p99 <= 1.5 * quiet_p99 if effort is Effort.FULL else bool(quiet and slow)
    return [
        Verdict(
            f"{SLOW} slow-loris connections",
            "healthy p99 <= 1.5x",
            f"{slow_p99 / quiet_p99:.2f}x: {slow_p99:.1f} ms of {len(slow)} beside them,"
            f" {quiet_p99:.1f} ms of {len(quiet)} without",
            is_met and are_slow,
        )
    ]


async def _interleave(
    stage: Arena, periods: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Healthy requests' seconds without and with slow connections, in turns."""
    customer = await asyncio.to_thread(stage.enrol, "Healthy", CREDIT_NANOS)
    url = stage.urls[0]
    quiet: list[float] = []
    beside: list[float] = []
    async with streams.session(customer.key) as http:
        await streams.timed(http, url, 0.5)
        for _ in range(periods):
            quiet += await _healthy(http, url, seconds)
            stop = asyncio.Event()
            slow = [
                asyncio.create_task(streams.slow(url, customer.key, KINDS[at % len(KINDS)], stop))
                for at in range(SLOW)
            ]
            # Until all are connected, and the readers' answers have come as far as they will.
            await asyncio.sleep(6 * seconds / 5)
            beside += await _healthy(http, url, seconds)
            stop.set()
            await asyncio.gather(*slow)
    return quiet, beside


async def _healthy(http: object, url: str, seconds: float) -> list[float]:
    found = await asyncio.gather(
        *[streams.timed(http, url, seconds) for _ in range(HEALTHY)]  # type: ignore[arg-type]
    )
    return [one for part in found for one in part]
