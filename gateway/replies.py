"""What the gateway sends back, as raw ASGI: headers are byte pairs, bodies are bytes."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway import protocol
from ratelimits.buckets import Decision, Level

Headers = list[tuple[bytes, bytes]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
JSON = (b"content-type", b"application/json")
EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would otherwise hold the stream back
]
_EXPOSED = (
    b"x-request-id, retry-after, retry-after-ms, x-ttonk-provider, x-ratelimit-limit-requests,"
    b" x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens,"
    b" x-ratelimit-reset-requests, x-ratelimit-reset-tokens"
)
CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED),
]


class Reply(msgspec.Struct):
    """A whole answer."""

    status: int
    body: bytes
    headers: Headers = []


def rate_headers(decision: Decision) -> Headers:
    """The six headers that say how the limits stand."""
    return [*_level(b"requests", decision.requests), *_level(b"tokens", decision.tokens)]


def _level(kind: bytes, level: Level | None) -> Headers:
    if level is None:
        limit, remaining, reset = b"unlimited", b"unlimited", b"0s"
    else:
        limit = b"%d" % level.limit
        remaining = b"%d" % level.remaining
        reset = duration(level.reset_seconds).encode()
    return [
        (b"x-ratelimit-limit-" + kind, limit),
        (b"x-ratelimit-remaining-" + kind, remaining),
        (b"x-ratelimit-reset-" + kind, reset),
    ]


def duration(seconds: float) -> str:
    """As OpenAI writes them: `12ms`, `1s`, `1.5s`, `6m0s`."""
    milliseconds = max(0, round(seconds * 1000))
    if milliseconds == 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(round(milliseconds / 1000), 60)
    return f"{minutes}m{rest}s"


class Client:
    """The other end of one request: what has been sent to it, and sending more."""

    def __init__(self, send: Send, headers: Headers) -> None:
        self._send = send
        self._headers = headers
        self.is_started = False
        self.is_ended = False
        # Monotonic: since when a write waits for a slow client, and when the last one ended.
        self.writing_since: float | None = None
        self.written_at = 0.0

    def add_headers(self, headers: Headers) -> None:
        self._headers += headers

    async def reply(self, reply: Reply) -> None:
        """A whole answer, headers and all."""
        self.is_started = self.is_ended = True
        headers = [JSON, (b"content-length", b"%d" % len(reply.body))]
        headers += self._headers + reply.headers
        if protocol.answer_at_once(self._send, reply.status, headers, reply.body):
            return
        await self._send(
            {"type": "http.response.start", "status": reply.status, "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": reply.body})

    async def start_stream(self) -> None:
        if self.is_started:
            return
        self.is_started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": EVENT_STREAM + self._headers,
            }
        )

    async def write(self, data: bytes) -> None:
        """More of a stream. Waits while the client reads slowly. Nothing after the end."""
        if self.is_ended:
            return
        await self.start_stream()
        await self._send_body(data, is_last=False)

    def write_at_once(self, data: bytes) -> bool:
        """More of a stream that has begun, without waiting. False where nothing was written:
        the client reads slowly, or is gone, or the server has no shorter way than ASGI."""
        if self.is_ended or not protocol.write_at_once(self._send, data):
            return False
        self.written_at = time.monotonic()
        return True

    def tell_when_gone(self, callback: Callable[[], None] | None) -> bool:
        """Call `callback` once the client hangs up, until this is called with None. False where
        the server has no way but ASGI's `receive`."""
        return protocol.tell_when_gone(self._send, callback)

    async def end_stream(self, data: bytes) -> None:
        if self.is_ended:
            return
        await self.start_stream()
        self.is_ended = True
        await self._send_body(data, is_last=True)

    async def _send_body(self, data: bytes, *, is_last: bool) -> None:
        self.writing_since = time.monotonic()
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})
        finally:
            self.writing_since, self.written_at = None, time.monotonic()
