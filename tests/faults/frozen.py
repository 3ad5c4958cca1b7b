"""Round `frozen`: every part stopped in its tracks (SIGSTOP) and set free again, under load."""

from __future__ import annotations

import random
import time

import httpx

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults.audit import Audit, audit
from tests.faults.clients import Choose, Load, Seen, Wish, mixed
from tests.faults.ground import CUSTOMERS, GATEWAYS, Ground
from tests.faults.rounds import Effort
from tests.faults.stores import stopped
from tests.faults.timing import judged, quantile
from tests.journeys.callers import Caller
from tests.scripts import Script

CLIENTS = 16
QUICK_SECONDS = {Effort.SHORT: 1.5, Effort.FULL: 20.0}
# Longer than a hold lives, in the full round: what runs through it must not be settled early.
DATABASE_SECONDS = {Effort.SHORT: 3.0, Effort.FULL: 60.0}
RPM = 60
# Until a gateway that was told nothing has noticed.
NOTICED_SECONDS = 4.0


def run(effort: Effort, seed: int) -> list[Verdict]:
    customers = {**CUSTOMERS, "Limited": {"credit": "10", "key": ["--rpm", str(RPM)]}}
    with grounds.opened(customers) as ground:
        limited = ground.keys.pop("Limited")
        verdicts = [_valkey(ground, effort, seed), _overshoot(ground, limited)]
        load = Load(list(ground.urls.values()), ground.keys, seed, _some_long(effort))
        with load.running(CLIENTS):
            time.sleep(2)
            verdicts += _database(ground, load, effort)
            _others(ground)
        ground.wait_settled()
        with ground.books() as books:
            found = audit(load.seen, ground.upstream.received, books)
        is_proven = ground.is_proven()
    found.show()
    return [*verdicts, *_streams(load.seen, found, is_proven=is_proven)]


def _quick(rng: random.Random, tag: str) -> Wish:
    return Wish(Script(tag=tag, chunks=3))


def _some_long(effort: Effort) -> Choose:
    """The usual mixture, and streams that outlast the database's absence."""
    pieces = int((DATABASE_SECONDS[effort] + 6) * 10)

    def choose(rng: random.Random, tag: str) -> Wish:
        if rng.random() < 0.3:
            script = Script(tag=tag, chunks=pieces, gap_ms=100)
            return Wish(script, is_stream=True, max_tokens=1000)
        return mixed(rng, tag)

    return choose


def _valkey(ground: Ground, effort: Effort, seed: int) -> Verdict:
    """What a frozen Valkey adds to short requests."""
    rich = {name: ground.keys[name] for name in ("Alice at work", "Bob's shop")}
    urls = list(ground.urls.values())
    usual = Load(urls, rich, seed, _quick, pause_seconds=0.05)
    frozen = Load(urls, rich, seed + 1, _quick, pause_seconds=0.05)
    with usual.running(4):
        time.sleep(QUICK_SECONDS[effort])
    with stopped(*ground.cache.pids), frozen.running(4):
        time.sleep(QUICK_SECONDS[effort])
    before = quantile([one.seconds for one in usual.seen], 0.99)
    during = quantile([one.seconds for one in frozen.seen], 0.99)
    refused = sum(one.status != 200 for one in frozen.seen)
    what = f"of {len(frozen.seen)} requests, {refused} refused"
    verdict = judged(effort, "Redis frozen (SIGSTOP): added p99", during - before, 0.15, what)
    return verdict if not refused else Verdict(verdict.goal, verdict.target, what, False)


def _overshoot(ground: Ground, key: str) -> Verdict:
    """A minute's requests, half of them before the freeze, as many as will go during it."""
    callers = [Caller(url, key) for url in ground.urls.values()]
    script = Script(chunks=1)
    began_at = time.monotonic()
    admitted = sum(callers[n % 2].ask(script).status_code == 200 for n in range(RPM // 2))
    with stopped(*ground.cache.pids):
        for number in range(RPM):
            admitted += callers[number % 2].ask(script).status_code == 200
    allowed = RPM + (time.monotonic() - began_at) * RPM / 60
    return Verdict(
        "Redis frozen (SIGSTOP): RPM overshoot",
        "<= 10%",
        f"{admitted} admitted of {RPM} a minute, {allowed:.0f} were due",
        RPM // 2 <= admitted <= allowed * 1.1,
    )


def _database(ground: Ground, load: Load, effort: Effort) -> list[Verdict]:
    """New requests while PostgreSQL is frozen, and how soon it is used again."""
    with stopped(*ground.database.pids):
        frozen_at = time.monotonic()
        time.sleep(DATABASE_SECONDS[effort] + NOTICED_SECONDS)
        thawed_at = time.monotonic()
    pids = {name: ground.pid(name) for name in GATEWAYS}
    recovered = _recovered_seconds(ground, thawed_at)
    asked = [one for one in list(load.seen) if frozen_at < one.started_at < thawed_at - 2]
    refused = [one for one in asked if one.status == 503]
    others = [one for one in asked if one.status not in (503, 0) and one.ended_at]
    slowest = max((one.seconds for one in refused), default=0.0)
    return [
        judged(effort, "PostgreSQL down: 503", slowest, 1.0, f"the slowest of {len(refused)}"),
        Verdict(
            "PostgreSQL down: answers other than 503 to new requests",
            "0",
            f"{len(others)} of {len(asked)}",
            not others and bool(refused),
        ),
        judged(effort, "PostgreSQL down: recovers with no restart", recovered, 5.0),
        Verdict(
            "PostgreSQL down: gateways restarted",
            "0",
            f"{sum(pids[name] != ground.pid(name) for name in GATEWAYS)}",
            all(ground.stack.processes[name].poll() is None for name in GATEWAYS),
        ),
    ]


def _recovered_seconds(ground: Ground, since: float) -> float:
    """Until both gateways have answered a request well."""
    key = ground.keys["Alice at work"]
    for url in ground.urls.values():
        caller = Caller(url, key)
        while caller.ask(Script(chunks=1)).status_code != 200:
            if time.monotonic() - since > 60:
                raise TimeoutError("a gateway does not recover")
            time.sleep(0.05)
    return time.monotonic() - since


def _others(ground: Ground) -> None:
    """A gateway and the worker stand still for a moment; they only have to go on."""
    for name in ("gateway-2", "worker"):
        with stopped(ground.pid(name)):
            time.sleep(1.5)
        if name in ground.urls:
            httpx.get(f"{ground.urls[name]}/healthz", timeout=30, trust_env=False)


def _streams(seen: list[Seen], found: Audit, *, is_proven: bool) -> list[Verdict]:
    carried = [one for one in seen if one.wish.is_stream and one.is_attentive and one.headed_at]
    long = [one for one in carried if one.status == 200 and one.wish.max_tokens == 1000]
    whole = sum(one.is_whole for one in long)
    return [
        Verdict(
            "PostgreSQL down: streams in flight finish and are charged",
            "all",
            f"{whole} of {len(long)}, {found.late} of them settled before their end",
            whole == len(long) > 0 and not found.late,
        ),
        Verdict(
            "parts frozen: charges lost, duplicate, other than published; ledger proves",
            "0, 0, 0; yes",
            f"{len(found.lost)}, {len(found.duplicate)}, {len(found.wrong)} of"
            f" {found.requests}; {'yes' if is_proven else 'no'}",
            found.is_clean and is_proven,
        ),
    ]
