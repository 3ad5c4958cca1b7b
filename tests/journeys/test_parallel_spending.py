"""Many requests at once on money for a few: the wallet never goes below zero."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from config.launcher import ports
from tests.journeys.callers import NANOS, REASONING_NANOS
from tests.journeys.laboratory import Laboratory
from tests.scripts import Script

MODEL = "qwen-turbo"
MAX_TOKENS = 100
# Every body is padded to this many bytes: a prompt is held for as so many tokens, and 64 more
# for the chat template. The upstream reports exactly that, so the charge is the whole hold.
BODY_BYTES = 1_000
PROMPT_TOKENS = BODY_BYTES + 64
HOLD_NANOS = PROMPT_TOKENS * NANOS[MODEL][0] + MAX_TOKENS * REASONING_NANOS[MODEL]
USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": MAX_TOKENS,
    "completion_tokens_details": {"reasoning_tokens": MAX_TOKENS},
}


@pytest.fixture
def second_url(lab: Laboratory) -> Iterator[str]:
    """Another gateway process on the same stores."""
    url = f"http://127.0.0.1:{ports.pick()}"
    lab.stack.start_another_gateway("second", url)
    yield url
    lab.stack.stop("second")


async def test_200_requests_at_once_on_funds_for_10_admit_10(lab: Laboratory) -> None:
    await _spend(lab, "Funds for ten", funds=10, requests=200, urls=[lab.stack.base_url])


async def test_two_gateways_with_500_requests_each_on_funds_for_50_admit_50(
    lab: Laboratory, second_url: str
) -> None:
    urls = [lab.stack.base_url, second_url]
    await _spend(lab, "Funds for fifty", funds=50, requests=1_000, urls=urls)


async def test_what_the_admitted_leave_can_be_spent_again(lab: Laboratory) -> None:
    """A charge below its hold gives the rest back: more than ten fit, and none too many."""
    name = "Funds for ten and change"
    caller = lab.enrol(name, f"{10 * HOLD_NANOS / 10**9:.9f}")
    organization = lab.books.organization(name)
    statuses = await _call_at_once(Script(chunks=1), 40, [lab.stack.base_url], caller.key)
    assert set(statuses) <= {200, 402}
    assert statuses[200] >= 10
    charge = 7 * NANOS[MODEL][0] + NANOS[MODEL][1]
    left = 10 * HOLD_NANOS - statuses[200] * charge
    assert lab.books.available(organization) == left


async def _spend(lab: Laboratory, name: str, *, funds: int, requests: int, urls: list[str]) -> None:
    caller = lab.enrol(name, f"{funds * HOLD_NANOS / 10**9:.9f}")
    organization = lab.books.organization(name)
    assert lab.books.available(organization) == funds * HOLD_NANOS
    calls = len(lab.upstream.received)
    statuses = await _call_at_once(
        Script(chunks=1, first_token_ms=300, usage=USAGE), requests, urls, caller.key
    )
    # Exactly: the last of the money goes to somebody, and to nobody twice.
    assert statuses == {200: funds, 402: requests - funds}
    assert len(lab.upstream.received) - calls == funds, "no refused request went upstream"
    assert lab.books.available(organization) == 0
    charges = lab.books.rows(
        "SELECT charge_nanos FROM billing_usagerecord WHERE organization_id = %(id)s",
        id=organization,
    )
    assert [row["charge_nanos"] for row in charges] == [HOLD_NANOS] * funds
    lab.prove()


async def _call_at_once(script: Script, requests: int, urls: list[str], key: str) -> Counter[int]:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": script.prompt()}],
        "max_tokens": MAX_TOKENS,
    }
    data = json.dumps(body).encode().ljust(BODY_BYTES)
    assert len(data) == BODY_BYTES
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(60)
    async with aiohttp.ClientSession(
        headers=headers, connector=connector, timeout=timeout
    ) as session:

        async def call(url: str) -> int:
            async with session.post(f"{url}/v1/chat/completions", data=data) as answer:
                await answer.read()
                return answer.status

        done = await asyncio.gather(*[call(urls[at % len(urls)]) for at in range(requests)])
    return Counter(done)
