"""Round `revocation`: a key that may no longer be used, at every gateway, also without Redis."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults.clients import Seen, Wish, ask
from tests.faults.ground import Ground
from tests.faults.rounds import Effort
from tests.faults.timing import judged, quantile
from tests.scripts import Script

KEYS = {Effort.SHORT: 3, Effort.FULL: 40}
POLL_SECONDS = 0.02
GIVEN_UP_SECONDS = 15.0
STREAM = Script(chunks=400, gap_ms=50)


@dataclass
class _Latencies:
    """Seconds from a key's revocation, one for each gateway and key."""

    refused: list[float] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    wrong: int = 0


def run(effort: Effort, seed: int) -> list[Verdict]:
    names = [f"Customer {number}" for number in range(2 * KEYS[effort])]
    customers = {name: {"credit": "1", "key": []} for name in names}
    with grounds.opened(customers, has_worker=False) as ground:
        usual = asyncio.run(_revoke_all(ground, names[: KEYS[effort]]))
        ground.cache.kill()
        without = asyncio.run(_revoke_all(ground, names[KEYS[effort] :]))
        ground.cache.start()
        ground.wait_settled()
        is_proven = ground.is_proven()
    count = f"of {len(usual.refused)}, at two gateways"
    p99, slowest = quantile(usual.refused, 0.99), max(without.refused)
    return [
        judged(effort, "revoked key refused by every process: p99", p99, 1.0, count),
        judged(effort, "revoked key refused, Redis down: slowest", slowest, 5.0, count),
        judged(effort, "running streams of a revoked key cut: slowest",
               max(usual.cut + without.cut), 5.0, f"of {len(usual.cut + without.cut)}"),
        Verdict(
            "revoked keys: streams that ended otherwise than cut with an error; ledger proves",
            "0; yes",
            f"{usual.wrong + without.wrong}; {'yes' if is_proven else 'no'}",
            usual.wrong + without.wrong == 0 and is_proven,
        ),
    ]  # fmt: skip


async def _revoke_all(ground: Ground, names: list[str]) -> _Latencies:
    found = _Latencies()
    async with aiohttp.ClientSession() as http:
        for name in names:
            await _revoke(ground, http, name, found)
    return found


async def _revoke(
    ground: Ground, http: aiohttp.ClientSession, name: str, found: _Latencies
) -> None:
    """A key used at both gateways, with a stream at each, is revoked."""
    key, urls = ground.keys[name], list(ground.urls.values())
    streams = [Seen(name, Wish(STREAM, is_stream=True, max_tokens=1000)) for _ in urls]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(ask(http, url, key, seen))
            for url, seen in zip(urls, streams, strict=True)
        ]
        while not all(seen.texts for seen in streams):
            assert not any(task.done() for task in running), streams
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.to_thread(_mark_revoked, ground, name)
        revoked_at = time.monotonic()
        refused = await asyncio.gather(*[_until_refused(http, url, key) for url in urls])
        async with asyncio.timeout(GIVEN_UP_SECONDS):
            await asyncio.wait(running)
    found.refused += [at - revoked_at for at in refused]
    found.cut += [max(seen.ended_at - revoked_at, 0.0) for seen in streams]
    found.wrong += sum(seen.is_whole or seen.code != "invalid_api_key" for seen in streams)


def _mark_revoked(ground: Ground, name: str) -> None:
    with ground.books() as books:
        books.change(
            "UPDATE accounts_apikey SET revoked_at = now() WHERE organization_id = %(id)s",
            id=books.organization(name),
        )


async def _until_refused(http: aiohttp.ClientSession, url: str, key: str) -> float:
    """When the first refused request was made."""
    began_at = time.monotonic()
    while time.monotonic() - began_at < GIVEN_UP_SECONDS:
        seen = Seen("", Wish(Script(chunks=1), max_tokens=10))
        await ask(http, url, key, seen)
        if seen.status == 401:
            return seen.started_at
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError("a revoked key is still taken")
