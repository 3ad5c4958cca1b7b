"""Tokens per minute: how far above a limit many requests at once can get."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.goals import Verdict
from tests.faults import arena
from tests.faults.arena import Arena
from tests.faults.rounds import Effort
from tests.journeys.callers import payload
from tests.scripts import Script
from tests.upstream import ScriptedUpstream

MODEL = "qwen-turbo"
LIMIT = 100_000
LARGE = 8_000
USED = 2_000
CREDIT_NANOS = 10_000 * 10**9


@dataclass
class Burst:
    """Requests of one key at one moment: who was admitted, and what they used."""

    admitted: int
    used: int
    seconds: float
    limit: int = LIMIT

    @property
    def overshoot(self) -> float:
        """Tokens above what the limit's bucket, full at first, has given in the time."""
        return self.used - self.limit * (1 + self.seconds / 60)


def run(effort: Effort, seed: int) -> list[Verdict]:
    count = 400 if effort is Effort.FULL else 150
    with arena.opened("tokens") as stage, ScriptedUpstream() as upstream:
        stage.serve_from(upstream.base_url)
        stage.start_others(1)
        return asyncio.run(_run(stage, count))


async def _run(stage: Arena, count: int) -> list[Verdict]:
    keys = await asyncio.to_thread(_keys, stage)
    lessons = 60 if count > 200 else 25
    named = await _burst(stage, keys["named"], count, _answer(USED), max_tokens=USED)
    # More than the bucket ever holds: it runs alone, when the bucket is full.
    huge = await _burst(stage, keys["huge"], 20, _answer(20 * LARGE), max_tokens=LARGE, n=20)
    cold = await _burst(stage, keys["cold"], count, _answer(USED))
    known = await _burst(stage, keys["known"], count, _answer(USED), lessons=3)
    short = await _burst(stage, keys["short"], count, _answer(40), lessons=lessons)
    flow = await _flow(stage, keys["flow"])
    one = 20 * LARGE + 1_000
    is_met = named.overshoot <= USED and huge.overshoot <= one and known.overshoot <= USED
    running = LIMIT / (1_000 + 30)
    return [
        Verdict(
            "TPM overshoot",
            "at most one request",
            f"{count} at once above {LIMIT:,}: with max_tokens {_said(named)}; one larger than the"
            f" limit {_said(huge)}; without max_tokens, known {_said(known)}",
            is_met and huge.admitted <= 2,
        ),
        Verdict(
            "TPM overshoot without max_tokens, first answers",
            "at most what runs at once exceeds the 1,000 expected of each",
            f"{_said(cold)}; long streams, once a second taken from: {_said(flow)}",
            cold.overshoot <= running * (USED - 1_000) + USED
            and flow.overshoot <= FLOW_LIMIT / 1_000 * (FLOW_TOKENS - 1_000),
        ),
        Verdict(
            "short chats without max_tokens at once",
            "not limited to a handful: most of the limit in use",
            f"{short.admitted} of {count} admitted",
            short.admitted >= min(count, LIMIT // 400),
        ),
    ]


def _keys(stage: Arena) -> dict[str, list[str]]:
    """Of an organization for each scene: a key with the limit, and one that may use more."""
    limits = dict.fromkeys(("named", "huge", "cold", "known", "short"), LIMIT)
    limits["flow"] = FLOW_LIMIT
    first, *_ = limits
    stage.enrol(first, CREDIT_NANOS)  # and their plan
    commands = []
    for name, limit in limits.items():
        if name != first:
            commands.append(
                ["create_organization", name, "--owner", "bob@example.com", "--plan", "unlimited",
                 "--credit", str(CREDIT_NANOS // 10**9)]
            )  # fmt: skip
        commands.append(["create_key", name, "--tpm", str(limit)])
        commands.append(["create_key", name, "--tpm", str(100 * limit)])
    keys: dict[str, list[str]] = {}
    for answer, command in zip(stage.operate(*commands), commands, strict=True):
        if command[0] == "create_key":
            keys.setdefault(command[1], []).append(answer["api_key"])
    return keys


def _said(burst: Burst) -> str:
    over = max(0, int(burst.overshoot))
    return f"{burst.admitted} admitted, {burst.used:,} used, {over:,} above"


def _answer(tokens: int) -> Script:
    return Script(chunks=2, first_token_ms=200, usage=_usage(tokens))


def _usage(tokens: int) -> dict[str, Any]:
    return {"prompt_tokens": 30, "completion_tokens": tokens}


async def _burst(
    stage: Arena, keys: list[str], count: int, script: Script, *, lessons: int = 0, **options: Any
) -> Burst:
    """`count` requests at once; before them, `lessons` of the same organization's other key."""
    key, other = keys
    async with _session() as session:
        lesson = Script(chunks=2, usage=script.usage)
        for at in range(lessons * len(stage.urls)):
            url = stage.urls[at % len(stage.urls)]
            status, _ = await _ask(session, url, other, lesson, **options)
            assert status == 200
        began = time.monotonic()
        answers = await asyncio.gather(
            *[
                _ask(session, stage.urls[at % len(stage.urls)], key, script, **options)
                for at in range(count)
            ]
        )
        seconds = time.monotonic() - began
    assert {status for status, _ in answers} <= {200, 429}, answers
    admitted = sum(status == 200 for status, _ in answers)
    return Burst(admitted, sum(used for _, used in answers), seconds)


FLOW_LIMIT, FLOW_TOKENS = 20_000, 1_600


async def _flow(stage: Arena, keys: list[str]) -> Burst:
    """Long streams of an organization that nothing is known of, more of them every moment: those
    that come later see what the earlier have used."""
    script = Script(chunks=FLOW_TOKENS, gap_ms=2)
    began = time.monotonic()
    async with _session() as session:
        calls = []
        for at in range(50):
            url = stage.urls[at % len(stage.urls)]
            calls.append(asyncio.create_task(_ask(session, url, keys[0], script, stream=True)))
            await asyncio.sleep(0.15)
        answers = await asyncio.gather(*calls)
    admitted = sum(status == 200 for status, _ in answers)
    used = sum(tokens for _, tokens in answers)
    return Burst(admitted, used, time.monotonic() - began, FLOW_LIMIT)


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(120))


async def _ask(
    session: aiohttp.ClientSession, url: str, key: str, script: Script, **options: Any
) -> tuple[int, int]:
    """The status, and the tokens it used."""
    if options.get("stream"):
        options["stream_options"] = {"include_usage": True}
    async with session.post(
        f"{url}/v1/chat/completions",
        json=payload(script, MODEL, **options),
        headers={"Authorization": f"Bearer {key}"},
    ) as answer:
        text = await answer.text()
        if answer.status != 200:
            return answer.status, 0
        _, _, last = text.rpartition('"total_tokens":')
        return 200, int(last.split(",")[0].strip(" }"))
