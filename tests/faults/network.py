"""Round `network`: what lies between the gateways and everything they talk to misbehaves."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from urllib.parse import urlsplit, urlunsplit

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults.audit import audit
from tests.faults.chaos import TROUBLES, ChaosProxy, Mode
from tests.faults.clients import Load
from tests.faults.ground import Ground
from tests.faults.rounds import Effort

CLIENTS = 16
EVENTS = {Effort.SHORT: 6, Effort.FULL: 120}
HOLD_SECONDS = {Effort.SHORT: 5, Effort.FULL: 45}
TROUBLE_SECONDS = 1.0
PEACE_SECONDS = 1.0


def run(effort: Effort, seed: int) -> list[Verdict]:
    environment = {"TTONK_HOLD_SECONDS": str(HOLD_SECONDS[effort])}
    with ExitStack() as stack:
        ground = stack.enter_context(grounds.opened(environment=environment))
        ways = _put_between(ground, stack)
        load = Load(list(ground.urls.values()), ground.keys, seed)
        rng = random.Random(seed)
        with load.running(CLIENTS):
            time.sleep(1)
            for name, mode in _plan(rng, ways, EVENTS[effort]):
                ways[name].misbehave(mode)
                time.sleep(rng.random() * TROUBLE_SECONDS)
                ways[name].misbehave("pass")
                time.sleep(rng.random() * PEACE_SECONDS)
        ground.wait_settled()
        with ground.books() as books:
            found = audit(load.seen, ground.upstream.received, books)
        is_proven = ground.is_proven()
    found.show()
    return [
        Verdict(
            f"network troubles ({EVENTS[effort]} times delay, throttle, cut, lost acknowledgements,"
            " half-close, freeze): charges lost, duplicate, other than published; ledger proves",
            "0, 0, 0; yes",
            f"{len(found.lost)}, {len(found.duplicate)}, {len(found.wrong)} of"
            f" {found.requests}, {found.whole} seen whole; {'yes' if is_proven else 'no'}",
            found.is_clean and is_proven and found.whole > 0,
        )
    ]


def _plan(rng: random.Random, ways: dict[str, ChaosProxy], events: int) -> list[tuple[str, Mode]]:
    """Each way in each trouble in turn, shuffled; the database, whose acknowledgements carry
    money, twice as often."""
    names = [*ways, "database"]
    pairs = [(name, mode) for mode in TROUBLES for name in names]
    rng.shuffle(pairs)
    return [pairs[number % len(pairs)] for number in range(events)]


def _put_between(ground: Ground, stack: ExitStack) -> dict[str, ChaosProxy]:
    """The gateways anew, each of their connections through a proxy; the worker's are direct."""
    ways = {}
    for name, url in (
        ("database", ground.database.url),
        ("valkey", ground.cache.url),
        ("upstream", ground.upstream.url),
    ):
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        ways[name] = stack.enter_context(ChaosProxy(parts.hostname, parts.port).running())
    with ground.books() as books:
        books.change(
            "UPDATE providers_channel SET base_url = replace(base_url, %(old)s, %(new)s)",
            old=f":{urlsplit(ground.upstream.url).port}/",
            new=f":{ways['upstream'].port}/",
        )
    for name in ground.urls:
        ground.stack.stop(name)
    ground.start_gateways(
        DATABASE_URL=_through(ground.database.url, ways["database"]),
        REDIS_URL=_through(ground.cache.url, ways["valkey"]),
    )
    return ways


def _through(url: str, way: ChaosProxy) -> str:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{way.port}"))
