"""Round `kills`: kill -9 of every part, again and again, under load."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults.audit import Audit, audit
from tests.faults.clients import Load
from tests.faults.ground import GATEWAYS, Ground
from tests.faults.rounds import Effort

PARTS = ("gateway", "worker", "postgresql", "valkey")
CLIENTS = 24
ORPHAN_SECONDS_MAX = 90.0
# Between two kills, at random up to this.
PAUSE_SECONDS = {Effort.SHORT: 1.0, Effort.FULL: 3.0}
BATCH = 40


def run(effort: Effort, seed: int) -> list[Verdict]:
    each = 100 if effort is Effort.FULL else 2
    hold_seconds = "45" if effort is Effort.FULL else "5"
    with grounds.opened(environment={"TTONK_HOLD_SECONDS": hold_seconds}) as ground:
        killing = _Killing(ground, random.Random(seed), PAUSE_SECONDS[effort])
        load = Load(list(ground.urls.values()), ground.keys, seed)
        with load.running(CLIENTS):
            time.sleep(1)
            killing.all(each)
        killing.mend()
        killing.look(ground.wait_settled())
        with ground.books() as books:
            found = audit(load.seen, ground.upstream.received, books)
        killing.proofs.append(ground.is_proven())
    found.show()
    return _verdicts(found, killing)


class _Killing:
    """Kills, as its seed plans them, and starts again what it killed, as a supervisor would."""

    def __init__(self, ground: Ground, rng: random.Random, pause_seconds: float) -> None:
        self._ground = ground
        self._pause_seconds = pause_seconds
        self._rng = rng
        self.killed: Counter[str] = Counter()
        self.proofs: list[bool] = []
        self.oldest_seconds = 0.0
        self._threads = ThreadPoolExecutor(4)
        self._starts: dict[str, Future[None]] = {}

    def all(self, each: int) -> None:
        """Every part so many times, in an order of the seed's."""
        plan = [part for part in PARTS for _ in range(each)]
        self._rng.shuffle(plan)
        for number, part in enumerate(plan, start=1):
            self._kill(part)
            time.sleep(self._rng.random() * self._pause_seconds)
            self.look(self._ground.oldest_hold_seconds())
            if number % BATCH == 0 and number < len(plan):
                self.mend()
                self.proofs.append(self._ground.is_proven())
                print(f"   {number} of {len(plan)} kills, oldest hold {self.oldest_seconds:.0f} s",
                      flush=True)  # fmt: skip

    def look(self, age_seconds: float) -> None:
        self.oldest_seconds = max(self.oldest_seconds, age_seconds)

    def mend(self) -> None:
        """Wait until everything runs."""
        for start in self._starts.values():
            start.result(120)
        self._starts.clear()

    def _kill(self, part: str) -> None:
        ground, stack = self._ground, self._ground.stack
        name = self._rng.choice(GATEWAYS) if part == "gateway" else part
        if name in self._starts:
            self._starts.pop(name).result(120)
        match part:
            case "gateway":
                stack.kill(name)
                self._start(name, lambda: ground.start_gateway(name))
            case "worker":
                stack.kill(name)
                self._start(name, stack.start_worker)
            case "postgresql":
                ground.database.kill()
                self._start(name, ground.database.start)
            case "valkey":
                ground.cache.kill()
                self._start(name, ground.cache.start)
        self.killed[part] += 1

    def _start(self, name: str, start: Callable[[], None]) -> None:
        self._starts[name] = self._threads.submit(start)


def _verdicts(found: Audit, killing: _Killing) -> list[Verdict]:
    kills = ", ".join(f"{killing.killed[part]} of {part}" for part in PARTS)
    return [
        Verdict(
            f"kill -9 under load ({kills}): charges lost, duplicate, other than published",
            "0, 0, 0",
            f"{len(found.lost)}, {len(found.duplicate)}, {len(found.wrong)}"
            f" of {found.requests} requests, {found.whole} seen whole;"
            f" {found.unseen} charged and killed before they were sent",
            found.is_clean and found.whole > 0,
        ),
        Verdict(
            "ledger proves equal after the kills",
            "every time",
            f"{sum(killing.proofs)} of {len(killing.proofs)} times",
            all(killing.proofs),
        ),
        Verdict(
            "orphan holds after any crash: none older than 90 s",
            f"<= {ORPHAN_SECONDS_MAX:g} s",
            f"the oldest {killing.oldest_seconds:.1f} s",
            killing.oldest_seconds <= ORPHAN_SECONDS_MAX,
        ),
    ]
