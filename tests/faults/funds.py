"""Many requests at four gateways on money for fifty: never one too many, never below zero."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from benchmarks.goals import Verdict
from tests.faults import arena
from tests.faults.arena import Arena, Customer
from tests.faults.rounds import Effort
from tests.journeys.books import until
from tests.journeys.callers import NANOS, REASONING_NANOS
from tests.scripts import Script
from tests.upstream import ScriptedUpstream

MODEL = "qwen-turbo"
FUNDS = 50
BURSTS_MAX = 4
GATEWAYS = 4
MAX_TOKENS = 100
# A prompt is held for as if each of its bytes were a token, and 64 more for the chat template.
BODY_BYTES = 1_000
PROMPT_TOKENS = BODY_BYTES + 64
HOLD_NANOS = PROMPT_TOKENS * NANOS[MODEL][0] + MAX_TOKENS * REASONING_NANOS[MODEL]
# The upstream reports all that was held for, so that each charge is its whole hold.
USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": MAX_TOKENS,
    "completion_tokens_details": {"reasoning_tokens": MAX_TOKENS},
}


def run(effort: Effort, seed: int) -> list[Verdict]:
    each, times = (500, 3) if effort is Effort.FULL else (60, 1)
    with (
        arena.opened("funds", TTONK_HOLD_SECONDS="5") as stage,
        ScriptedUpstream() as upstream,
    ):
        stage.serve_from(upstream.base_url)
        stage.start_others(GATEWAYS - 1)
        found = [_spend(stage, upstream, f"Fifty {at}", each) for at in range(times)]
        is_proven = stage.is_proven()
    admitted = [one.statuses[200] for one in found]
    least = min(one.least_nanos for one in found)
    left = [one.left_nanos for one in found]
    is_met = admitted == [FUNDS] * times and least >= 0 and not any(left) and is_proven
    return [
        Verdict(
            f"{each} parallel requests x {GATEWAYS} processes on funds for {FUNDS}",
            f"<= {FUNDS} admitted, never below 0",
            f"{', '.join(map(str, admitted))} admitted, least seen {least} nanos,"
            f" left {', '.join(map(str, left))} nanos,"
            f" {sum(one.statuses[503] for one in found)} asked to come again,"
            f" {'proven' if is_proven else 'NOT PROVEN'}",
            is_met,
        )
    ]


@dataclass
class Spending:
    """What became of one wallet."""

    statuses: Counter[int] = field(default_factory=Counter)
    least_nanos: int = FUNDS * HOLD_NANOS
    left_nanos: int = 0


def _spend(stage: Arena, upstream: ScriptedUpstream, name: str, each: int) -> Spending:
    """Ask with all at once until the money is gone. A busy machine may answer some with 503;
    what was held for such a one comes back, and is spent by the next burst."""
    customer = stage.enrol(name, FUNDS * HOLD_NANOS)
    calls = len(upstream.received)
    spending = Spending()
    for _ in range(BURSTS_MAX):
        asyncio.run(_call_at_once(stage, customer, each, spending))
        _settle(stage)
        spending.left_nanos = stage.books.available(customer.organization)
        if spending.left_nanos < HOLD_NANOS:
            break
    assert set(spending.statuses) <= {200, 402, 503}, spending.statuses
    asked = len(upstream.received) - calls
    assert spending.statuses[200] == asked, "a refused request went upstream"
    return spending


def _settle(stage: Arena) -> None:
    def is_settled() -> bool:
        if stage.books.pending():
            stage.operate(["expire_due"])
        return stage.books.pending() == 0

    until(is_settled, "no hold is pending", seconds=30)


async def _call_at_once(stage: Arena, customer: Customer, each: int, spending: Spending) -> None:
    script = Script(chunks=1, first_token_ms=300, usage=USAGE)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": script.prompt()}],
        "max_tokens": MAX_TOKENS,
    }
    data = json.dumps(body).encode().ljust(BODY_BYTES)
    headers = {"Authorization": f"Bearer {customer.key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(60),
    ) as session:

        async def call(url: str) -> int:
            async with session.post(f"{url}/v1/chat/completions", data=data) as answer:
                await answer.read()
                return answer.status

        calls = asyncio.gather(*[call(url) for _ in range(each) for url in stage.urls])
        while not calls.done():
            seen = stage.books.available(customer.organization)
            spending.least_nanos = min(spending.least_nanos, seen)
            await asyncio.sleep(0.01)
        spending.statuses.update(await calls)
