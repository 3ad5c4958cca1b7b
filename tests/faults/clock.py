"""Round `clock`: the gateways' clocks are set forwards and back while requests run."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults import skewed
from tests.faults.audit import audit, request_id
from tests.faults.clients import Load
from tests.faults.ground import Ground
from tests.faults.rounds import Effort

CLIENTS = 16
HOUR = 3600
STEPS = {Effort.SHORT: 4, Effort.FULL: 40}
PAUSE_SECONDS = 1.5


def run(effort: Effort, seed: int) -> list[Verdict]:
    rng = random.Random(seed)
    with grounds.opened() as ground:
        clock = _take_over(ground)
        load = Load(list(ground.urls.values()), ground.keys, seed)
        with load.running(CLIENTS):
            time.sleep(1)
            for number in range(STEPS[effort]):
                # There and back by the hour first, then anywhere in between.
                step = (HOUR, -HOUR)[number % 2] if number < 4 else rng.randint(-HOUR, HOUR)
                _set(clock, step)
                time.sleep(PAUSE_SECONDS)
            _set(clock, 0)
        ground.wait_settled()
        received = list(ground.upstream.received)
        with ground.books() as books:
            found = audit(load.seen, received, books)
            (row,) = books.rows("SELECT max(created_at) < now() AS is_true FROM billing_transfer")
        is_proven = ground.is_proven()
    found.show()
    tags: dict[str, set[str]] = {}
    for call in received:
        tags.setdefault(request_id(call), set()).add(call.script.tag)
    names = Counter(one.request_id for one in load.seen if one.request_id)
    twice = sum(len(each) > 1 for each in tags.values()) + sum(n > 1 for n in names.values())
    early = found.reasons["gateway_lost"] + found.late
    return [
        Verdict(
            "clock set by up to an hour: ids used twice; holds settled early, or never",
            "0; 0, 0",
            f"{twice} of {len(names)}; {early}, 0, in {STEPS[effort]} steps",
            twice == 0 and early == 0 and bool(row["is_true"]),
        ),
        Verdict(
            "clock set: charges lost, duplicate, other than published; ledger proves",
            "0, 0, 0; yes",
            f"{len(found.lost)}, {len(found.duplicate)}, {len(found.wrong)} of"
            f" {found.requests}, {found.whole} seen whole; {'yes' if is_proven else 'no'}",
            found.is_clean and is_proven and found.whole > 0,
        ),
    ]


def _take_over(ground: Ground) -> Path:
    """The gateways anew, with a clock that can be set."""
    clock = ground.stack.folder / "clock"
    _set(clock, 0)
    for name in ground.urls:
        ground.stack.stop(name)
    ground.stack.gateway_module = skewed.__name__
    ground.start_gateways(**{skewed.VARIABLE: str(clock)})
    return clock


def _set(clock: Path, seconds: int) -> None:
    """At once: nobody reads half a number."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.rename(clock)
