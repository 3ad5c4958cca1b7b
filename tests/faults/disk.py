"""Round `disk`: the spool's disk is full while the database is away.

A process's own limit on the size of files (RLIMIT_FSIZE) makes its writes fail in the middle, as
a full disk does, and needs neither root nor a disk.
"""

from __future__ import annotations

import resource
import time

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults.audit import audit
from tests.faults.clients import Load
from tests.faults.ground import GATEWAYS, Ground
from tests.faults.rounds import Effort
from tests.faults.stores import stopped

CLIENTS = 16
TIMES = {Effort.SHORT: 1, Effort.FULL: 10}
# Less than a line of the spool: it breaks off within one.
FULL_BYTES = 100
AWAY_SECONDS = 5.0
# Two gateways, each with at most its clients in one commit.
COMMITS_MAX = CLIENTS


def run(effort: Effort, seed: int) -> list[Verdict]:
    # Holds that nobody can settle any more shall not keep the round waiting.
    with grounds.opened(environment={"TTONK_HOLD_SECONDS": "8"}) as ground:
        load = Load(list(ground.urls.values()), ground.keys, seed)
        lost = 0
        with load.running(CLIENTS):
            time.sleep(2)
            for _ in range(TIMES[effort]):
                lost += _fill(ground)
                time.sleep(3)
        ground.wait_settled()
        left = [path.name for path in ground.stack.folder.glob("spool*/*")]
        with ground.books() as books:
            found = audit(load.seen, ground.upstream.received, books)
        is_proven = ground.is_proven()
    found.show()
    told = sum(one.code == "ledger_unavailable" for one in load.seen)
    return [
        Verdict(
            "disk full: answers whose charge was durable nowhere, shown as finished",
            "0",
            f"{len(found.lost)} of {found.whole} seen whole, while {told} were told an error and"
            f" {lost} charges had no place",
            not found.lost and found.whole > 0 and lost > 0,
        ),
        Verdict(
            "disk full: charges duplicate, other than published; half-written files; ledger proves",
            "0, 0; 0; yes",
            f"{len(found.duplicate)}, {len(found.wrong)}; {len(left)};"
            f" {'yes' if is_proven else 'no'}",
            not (found.duplicate or found.wrong or left) and is_proven,
        ),
        # A commit was under way when the database fell silent, and there was no disk to note it
        # on: whether it happened is known to nobody until the database is back.
        Verdict(
            "disk full: told an error, and charged by the commit that was under way",
            f"<= {COMMITS_MAX * TIMES[effort]}: one commit's, for each time and gateway",
            f"{len(found.undecided)}",
            len(found.undecided) <= COMMITS_MAX * TIMES[effort],
        ),
    ]


def _fill(ground: Ground) -> int:
    """No gateway can write a file, and no database answers. How many captures had no place."""
    before = _refusals(ground)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in GATEWAYS:
        resource.prlimit(ground.pid(name), resource.RLIMIT_FSIZE, (FULL_BYTES, usual[1]))
    with stopped(*ground.database.pids):
        time.sleep(AWAY_SECONDS)
    for name in GATEWAYS:
        resource.prlimit(ground.pid(name), resource.RLIMIT_FSIZE, usual)
    return _refusals(ground) - before


def _refusals(ground: Ground) -> int:
    """As the gateways count them: their logs cannot be written either."""
    total = 0.0
    for url in ground.urls.values():
        for line in ground.metrics(url).splitlines():
            if line.startswith("ttonk_captures_lost_total"):
                total += float(line.split()[-1])
    return int(total)
