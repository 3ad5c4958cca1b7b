"""A scripted OpenAI-compatible upstream: a real HTTP server on loopback, in a thread of its own.

    with ScriptedUpstream() as upstream:
        upstream.base_url            # what a channel is given
        upstream.by_model["m"] = Script(status=503)
        Script(chunks=9, ending="reset", cut_after=4).prompt()   # a user message's content
        upstream.last().body         # what arrived, and whether the caller stayed

Behaviours are `tests.scripts.Script`; `add_channel_arguments` points a catalog model here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import pytest
from aiohttp import web

from tests.mimicry import last_text, mimic
from tests.scripts import (
    PROMPT_TOKENS,
    Call,
    Json,
    Script,
    events,
    read_prompt,
    refused,
    whole,
)

__all__ = ["PROMPT_TOKENS", "Call", "Received", "Script", "ScriptedUpstream", "refused"]

CREDENTIAL_VARIABLE = "SCRIPTED_UPSTREAM_KEY"
CREDENTIAL = "upstream-credential-0123456789"
_FOREVER_SECONDS = 3600.0


@dataclass
class Received:
    """One request as it arrived. Times are `time.monotonic()`."""

    path: str
    headers: dict[str, str]
    body: Json
    script: Script
    at: float = field(default_factory=time.monotonic)
    events_sent: int = 0
    finished_at: float | None = None
    # When the caller hung up before the answer's end.
    disconnected_at: float | None = None

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None or self.disconnected_at is not None


class ScriptedUpstream:
    """See the module. `received` is the log, oldest first; `by_model` and `otherwise` hold the
    scripts of requests that bring none."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.by_model: dict[str, Script] = {}
        self.otherwise: Callable[[Json], Script] = mimic
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def reset(self) -> None:
        """Forget what was received, and every script by model."""
        self.received.clear()
        self.by_model.clear()
        self.otherwise = mimic

    def last(self) -> Received:
        return self.received[-1]

    def wait_for(self, condition: Callable[[Received], bool], *, seconds: float = 5.0) -> Received:
        """The last request, once the condition holds for it. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while not (self.received and condition(self.received[-1])):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:g} s: {self.received[-1:]}")
            time.sleep(0.01)
        return self.received[-1]

    async def _start(self) -> None:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/received", self._tell)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        script = read_prompt(last_text(body)) or self.by_model.get(body.get("model", ""))
        script = script or self.otherwise(body)
        entry = Received(request.path, dict(request.headers), body, script)
        self.received.append(entry)
        try:
            response = await _play(request, entry)
        except ConnectionResetError:
            # The caller has gone, which the log says; the server need not print where.
            entry.disconnected_at = time.monotonic()
            return web.Response()
        except asyncio.CancelledError:
            entry.disconnected_at = time.monotonic()
            raise
        entry.finished_at = time.monotonic()
        return response

    async def _tell(self, request: web.Request) -> web.Response:
        """`GET /received?tag=…`: the log for suites that run in a process of their own."""
        tag = request.query["tag"]
        found = [entry for entry in self.received if entry.script.tag == tag]
        return web.json_response(
            [
                {
                    "body": entry.body,
                    "events_sent": entry.events_sent,
                    "is_finished": entry.finished_at is not None,
                    "is_disconnected": entry.disconnected_at is not None,
                }
                for entry in found
            ]
        )


async def _play(request: web.Request, entry: Received) -> web.StreamResponse:
    script = entry.script
    if script.silent:
        await asyncio.sleep(_FOREVER_SECONDS)
    if script.status != 200 or script.body is not None or script.raw is not None:
        return _verbatim(script)
    if entry.body.get("stream"):
        return await _stream(request, entry)
    await asyncio.sleep(script.first_token_ms / 1000)
    data = json.dumps(whole(script, entry.body)).encode()
    if script.ending in ("done", "no_done", "talk"):
        return _bytes(script, data, "application/json")
    return await _break_off(request, script, data)


def _verbatim(script: Script) -> web.Response:
    if script.raw is None:
        return _bytes(script, json.dumps(script.body).encode(), "application/json")
    kind = "text/html" if script.raw.startswith("<") else "application/json"
    return _bytes(script, script.raw.encode(), kind)


def _bytes(script: Script, data: bytes, kind: str) -> web.Response:
    headers = {"Content-Type": kind, **script.headers}
    if script.compressed:
        headers["Content-Encoding"] = "gzip"
        data = gzip.compress(data)
    return web.Response(status=script.status, body=data, headers=headers)


async def _break_off(request: web.Request, script: Script, data: bytes) -> web.StreamResponse:
    """A whole answer that stops half-way."""
    headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    if script.ending == "silence":
        await asyncio.sleep(_FOREVER_SECONDS)
    await _cut(request)
    return response


async def _stream(request: web.Request, entry: Received) -> web.StreamResponse:
    script = entry.script
    headers = {"Content-Type": "text/event-stream", **script.headers}
    response = web.StreamResponse(headers=headers)
    if script.compressed:
        response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(request)
    for _ in range(script.comments):
        await response.write(b": keep-alive\n\n")
        await asyncio.sleep(script.first_token_ms / 1000 / script.comments)
    if not script.comments:
        await asyncio.sleep(script.first_token_ms / 1000)
    answer, ends = events(script, entry.body)
    cut = len(answer) if script.cut_after is None else script.cut_after + 1  # the role chunk first
    is_whole = script.ending in ("done", "no_done", "talk")
    for event in [*answer, *ends] if is_whole else answer[:cut]:
        await response.write(_frame(event))
        entry.events_sent += 1
        if script.gap_ms:
            await asyncio.sleep(script.gap_ms / 1000)
    await _end(request, response, script)
    return response


async def _end(request: web.Request, response: web.StreamResponse, script: Script) -> None:
    match script.ending:
        case "done":
            await response.write(b"data: [DONE]\n\n")
        case "talk":
            await response.write(b"data: [DONE]\n\n")
            while True:
                await response.write(b": still here\n\n")
                await asyncio.sleep(0.01)
        case "half":
            await response.write(b'data: {"choices":[{"index":0,"del')
        case "error":
            await response.write(_frame({"error": {"message": "the model crashed", "code": 500}}))
        case "garbage":
            await response.write(b"data: <html>502 Bad Gateway</html>\n\n")
        case "silence":
            await asyncio.sleep(_FOREVER_SECONDS)
        case "reset":
            await _cut(request)


async def _cut(request: web.Request) -> None:
    await asyncio.sleep(0.02)  # what was written gets through first
    if request.transport is not None:
        request.transport.abort()


def _frame(event: Json) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def add_channel_arguments(
    model: str, upstream: ScriptedUpstream, upstream_model: str = "", *, priority: int = 10
) -> list[str]:
    """What follows `manage.py` to serve `model` from here; the command needs `credential()` in
    its environment."""
    return [
        "add_channel", model, "--base-url", upstream.base_url,
        "--upstream-model", upstream_model or model,
        "--credential-env", CREDENTIAL_VARIABLE, "--priority", str(priority),
    ]  # fmt: skip


def credential() -> dict[str, str]:
    """The environment variable that holds the credential the gateway must send."""
    return {CREDENTIAL_VARIABLE: CREDENTIAL}


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """One for a single test. Suites that share a server make their own with a wider scope."""
    with ScriptedUpstream() as server:
        yield server
