"""A million random verbs on ledger and limits, each batch of them proven before the next."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from benchmarks.goals import Verdict
from tests.faults import arena, limit_walk
from tests.faults.arena import Arena
from tests.faults.rounds import Effort
from tests.stack import PROJECT

LEDGER_SECONDS = 600


def run(effort: Effort, seed: int) -> list[Verdict]:
    ledger, valkey, local = (
        (600_000, 300_000, 100_000) if effort is Effort.FULL else (8_000, 8_000, 4_000)
    )
    with arena.opened("machines") as stage:
        walked = _walk_ledger(stage, seed, ledger)
        on_valkey = asyncio.run(limit_walk.on_valkey(stage.valkey_url, seed, valkey))
    on_share = limit_walk.on_local_share(seed, local)
    problems = [*walked["problems"], *on_valkey.problems, *on_share.problems]
    for problem in problems[:10]:
        print(problem)
    total = walked["operations"] + on_valkey.operations + on_share.operations
    print(json.dumps(walked["verbs"]))
    return [
        Verdict(
            "random stateful operations",
            f"{ledger + valkey + local:,}; sums zero, balances equal projections, minimum >= 0",
            f"{total:,}: {walked['operations']:,} on the ledger in {walked['batches']:,} batches"
            f" and {walked['seconds']:.0f} s with {walked['breaks']} broken connections,"
            f" {on_valkey.operations:,} on Valkey's buckets, {on_share.operations:,} on a local"
            f" share; {len(problems)} differences",
            not problems and total >= ledger + valkey + local,
        )
    ]


def _walk_ledger(stage: Arena, seed: int, operations: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.ledger_walk", str(seed), str(operations)],
        env=stage.stack.environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True,
        timeout=LEDGER_SECONDS, check=True,
    )  # fmt: skip
    walked: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return walked
