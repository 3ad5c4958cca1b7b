"""Clients that keep their own history: what they asked, what they saw, and how it ended."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.journeys.callers import payload
from tests.scripts import Ending, Script

MODEL = "qwen-plus"
ANSWER_SECONDS = 150.0
# After a refused connection: a client that hammers learns nothing more.
BACKOFF_SECONDS = 0.1


@dataclass(frozen=True)
class Wish:
    """One request before it is made."""

    script: Script
    is_stream: bool = False
    max_tokens: int | None = 200
    # Hangs up after so many pieces (0: before any); None reads to the end.
    pieces_max: int | None = None
    # Between two reads.
    pause_seconds: float = 0.0


@dataclass
class Seen:
    """One request as its client saw it."""

    customer: str
    wish: Wish
    started_at: float = field(default_factory=time.monotonic)
    headed_at: float | None = None
    ended_at: float = 0.0
    status: int = 0  # 0: not even the head of an answer came
    request_id: str = ""
    texts: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    code: str = ""
    is_whole: bool = False
    has_given_up: bool = False
    trouble: str = ""

    @property
    def tag(self) -> str:
        return self.wish.script.tag

    @property
    def prompt(self) -> str:
        return self.wish.script.prompt()

    @property
    def is_attentive(self) -> bool:
        """Whether it read everything as soon as it came."""
        return self.wish.pieces_max is None and not self.wish.pause_seconds

    @property
    def seconds(self) -> float:
        return self.ended_at - self.started_at


Choose = Callable[[random.Random, str], Wish]


def mixed(rng: random.Random, tag: str) -> Wish:
    """What customers ask all day: short and long, whole and streamed; some hang up, some read
    slowly, and now and then the upstream breaks off, refuses, or forgets to count."""
    kind = rng.random()
    script = Script(
        tag=tag,
        chunks=rng.randint(1, 30),
        first_token_ms=rng.choice((0, 20, 150)),
        gap_ms=rng.choice((0, 20, 60)),
        usage="absent" if rng.random() < 0.1 else "normal",
    )
    limit = None if rng.random() < 0.2 else 200
    if rng.random() < 0.06:
        return Wish(_broken(rng, tag), is_stream=kind < 0.6, max_tokens=limit)
    if kind < 0.4:
        return Wish(script, max_tokens=limit)
    if kind < 0.5:  # long enough for its progress to be saved
        script = Script(tag=tag, chunks=100, gap_ms=50)
        return Wish(script, is_stream=True, max_tokens=limit)
    if kind < 0.6:
        return Wish(script, is_stream=True, max_tokens=limit, pieces_max=rng.randint(0, 10))
    if kind < 0.65:
        return Wish(script, is_stream=True, max_tokens=limit, pause_seconds=0.1)
    return Wish(script, is_stream=True, max_tokens=limit)


def _broken(rng: random.Random, tag: str) -> Script:
    if rng.random() < 0.5:
        return Script(tag=tag, status=rng.choice((429, 500, 503)), raw="no")
    endings: tuple[Ending, ...] = ("reset", "close", "error", "garbage")
    ending = rng.choice(endings)
    return Script(tag=tag, chunks=20, gap_ms=10, ending=ending, cut_after=rng.randint(0, 15))


class Load:
    """Clients in a thread of their own, each asking one thing after the other."""

    def __init__(
        self, urls: list[str], keys: dict[str, str], seed: int, choose: Choose = mixed,
        *, pause_seconds: float = 0.3,
    ) -> None:  # fmt: skip
        self.seen: list[Seen] = []
        self._urls = urls
        self._keys = keys
        self._seed = seed
        self._choose = choose
        self._pause_seconds = pause_seconds
        self._enough = threading.Event()

    @contextmanager
    def running(self, clients: int) -> Iterator[Load]:
        """For the block's time; what runs at its end is seen to its end."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run(clients)))
        thread.start()
        try:
            yield self
        finally:
            self._enough.set()
            thread.join(ANSWER_SECONDS + 30)
            assert not thread.is_alive(), "a client never ended"

    async def _run(self, clients: int) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**22) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(clients):
                tasks.create_task(self._be_client(http, number))

    async def _be_client(self, http: aiohttp.ClientSession, number: int) -> None:
        rng = random.Random(f"{self._seed}-{number}")
        customers = sorted(self._keys)
        asked, refused = 0, ""
        while not self._enough.is_set():
            asked += 1
            wish = self._choose(rng, f"c{number}-{asked}")
            seen = Seen(customers[(number + asked) % len(customers)], wish)
            url = rng.choice([url for url in self._urls if url != refused] or self._urls)
            self.seen.append(seen)
            await ask(http, url, self._keys[seen.customer], seen)
            await asyncio.sleep(rng.random() * self._pause_seconds)
            # As behind a balancer: whoever does not answer is left out of the next choice.
            refused = "" if seen.status else url
            if refused:
                await asyncio.sleep(BACKOFF_SECONDS)


async def ask(http: aiohttp.ClientSession, url: str, key: str, seen: Seen) -> None:
    """Make the request and note what came of it. Raises nothing that a client may meet."""
    wish = seen.wish
    body = payload(wish.script, MODEL, stream=wish.is_stream)
    if wish.max_tokens is not None:
        body["max_tokens"] = wish.max_tokens
    if wish.is_stream:
        body["stream_options"] = {"include_usage": True}
    headers = {"Authorization": f"Bearer {key}"}
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            seen.headed_at = time.monotonic()
            seen.status = answer.status
            seen.request_id = answer.headers.get("x-request-id", "")
            if answer.status == 200 and wish.is_stream:
                await _read(answer, seen)
            else:
                _take(seen, json.loads(await answer.read()))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        seen.trouble = f"{type(error).__name__}: {error}"
    finally:
        seen.ended_at = time.monotonic()


async def _read(answer: aiohttp.ClientResponse, seen: Seen) -> None:
    wish = seen.wish
    async for line in answer.content:
        if line.startswith(b"data: [DONE]"):
            seen.is_whole = not seen.code
        elif line.startswith(b"data: "):
            _take(seen, json.loads(line[6:]))
        if wish.pieces_max is not None and len(seen.texts) >= wish.pieces_max:
            seen.has_given_up = True
            answer.close()
            return
        if wish.pause_seconds:
            await asyncio.sleep(wish.pause_seconds)


def _take(seen: Seen, event: dict[str, Any]) -> None:
    """A chunk, a whole answer, or an error."""
    error = event.get("error")
    if error:
        seen.code = str(error.get("code") or error.get("type"))
    seen.usage = event.get("usage") or seen.usage
    for choice in event.get("choices") or ():
        content = (choice.get("delta") or choice.get("message") or {}).get("content")
        if content:
            seen.texts.append(content)
        if "message" in choice:
            seen.is_whole = True
