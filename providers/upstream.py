"""The client for upstreams: kept connections, one attempt per call.

Bodies are asked for and read uncompressed, redirects are refused, and every wait is bounded by
the caller through cancellation.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import msgspec

from providers.catalog import ChannelFacts
from providers.http1 import BadAnswer, Connection, Pool
from providers.sse import BrokenStream, EventDecoder

DRAIN_SECONDS = 0.1
_ERROR_BYTES_MAX = 256 * 1024
_SECRET = re.compile(r"\b(?:sk|ak|key)[-_][A-Za-z0-9_\-*.]{6,}")
# What some providers answer with a 400 though it is the operator's trouble, not the client's.
_OPERATORS_CODES = {
    "arrearage", "access_denied", "insufficient_quota", "invalid_api_key", "invalidapikey",
    "billing_hard_limit_reached", "billing_not_active", "account_deactivated",
}  # fmt: skip
_decoder = msgspec.json.Decoder()
DONE = b"[DONE]"


class Failure(StrEnum):
    """Why an attempt brought nothing, in the words of the error code a customer sees."""

    UNREACHABLE = "upstream_unreachable"
    TIMEOUT = "upstream_timeout"
    OVERLOADED = "upstream_overloaded"
    REFUSED = "upstream_refused"
    GARBAGE = "upstream_garbage"
    REJECTED = "upstream_rejected_request"


class UpstreamFailed(Exception):
    """An attempt ended before the first token. `REJECTED` is the client's to mend; after every
    other failure the next channel may be tried."""

    def __init__(self, failure: Failure, message: str = "", param: str | None = None) -> None:
        super().__init__(f"{failure}: {message}")
        self.failure = failure
        self.message = message
        self.param = param


class StreamDied(Exception):
    """The upstream broke off in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect_seconds: float
    answer_bytes_max: int
    event_bytes_max: int


class Upstream:
    """The process's connections."""

    def __init__(self, limits: Timeouts) -> None:
        self._limits = limits
        self._pool: Pool | None = None

    async def start(self) -> None:
        self._pool = Pool(connect_seconds=self._limits.connect_seconds)

    async def stop(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def send(
        self, channel: ChannelFacts, body: bytes, request_id: str, traceparent: str = ""
    ) -> "Exchange":
        """One POST to the channel, to be entered as a context. Leaving it closes the connection
        where the answer was not read to its end, so that the upstream stops. `traceparent` goes
        along where there is one, and must be well formed."""
        assert self._pool is not None
        head = f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n"
        if traceparent:
            head += f"traceparent: {traceparent}\r\n"
        return Exchange(self._pool, self._limits, channel, head, body)


class Exchange:
    """One request and its answer."""

    def __init__(
        self, pool: Pool, limits: Timeouts, channel: ChannelFacts, head: str, body: bytes
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._channel = channel
        self._head = head
        self._body = body
        self._connection: Connection | None = None
        self._decoder = EventDecoder(limits.event_bytes_max)
        self._is_done = False
        self._has_ended = False

    async def __aenter__(self) -> Self:
        head = f"{self._head}\r\n".encode()
        try:
            body, self._body = self._body, b""
            self._connection = await self._pool.send(self._channel.target, head, body)
            if self._connection.status != 200:
                await self._raise_for_status(self._connection)
            if self._connection.headers.get(b"content-encoding", b"identity") != b"identity":
                raise UpstreamFailed(Failure.GARBAGE, "an encoding that was not asked for")
        except (OSError, BadAnswer) as error:
            self._close()
            raise UpstreamFailed(Failure.UNREACHABLE, type(error).__name__) from error
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_done and kind is None:
            await self._drain()
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection, self._channel.target)

    async def json(self) -> dict[str, Any]:
        """The whole answer as a JSON object. Raises `UpstreamFailed`."""
        assert self._connection is not None
        try:
            data = await self._read(self._limits.answer_bytes_max)
            body = _decoder.decode(data)
        except (OSError, BadAnswer) as error:
            raise UpstreamFailed(Failure.UNREACHABLE, "the answer broke off") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamFailed(Failure.GARBAGE, "the answer is not JSON") from error
        if not isinstance(body, dict):
            raise UpstreamFailed(Failure.GARBAGE, "the answer is not a JSON object")
        return body

    async def flow(
        self, take: Callable[[list[bytes]], bool], glance: Callable[[bytes], bool] | None = None
    ) -> None:
        """Hand `take` the payloads of the stream's events as they come, as many at a time as one
        read brought (none where it brought only comments: the upstream is alive), inside the
        read: no task wakes for them. A read that begins with an event is offered to `glance`
        first, as it came; True where that was one whole event, and is dealt with. Returns once
        `take` does with True, to be called again until `is_over`. Raises `StreamDied`, and what
        `take` and `glance` raise."""
        connection = self._connection
        assert connection is not None
        decoder = self._decoder
        if connection.is_spent:
            self._has_ended = True
            if decoder.rest == b"data: " + DONE:
                self._is_done = True
            elif decoder.rest:
                raise StreamDied("the stream ended inside an event")
            return

        def feed(data: bytes) -> bool:
            if glance is not None and decoder.is_between_events and glance(data):
                return False
            payloads = decoder.feed(data)
            if DONE in payloads:
                self._is_done = True
                del payloads[payloads.index(DONE) :]
            return take(payloads) or self._is_done

        try:
            await connection.flow(feed)
        except (OSError, BadAnswer, BrokenStream) as error:
            raise StreamDied(type(error).__name__) from error

    @property
    def is_done(self) -> bool:
        """Whether the stream said `[DONE]`."""
        return self._is_done

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come: the stream is done, or ended without saying so."""
        return self._is_done or self._has_ended

    async def _drain(self) -> None:
        """Take the end of the body after `[DONE]`, so that the connection can be used again; an
        upstream that keeps talking is hung up on."""
        connection = self._connection
        if connection is None or connection.is_whole:
            return
        with suppress(OSError, BadAnswer, TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await connection.read()

    async def _read(self, bytes_max: int) -> bytes:
        assert self._connection is not None
        parts, size = [], 0
        while part := await self._connection.read():
            parts.append(part)
            size += len(part)
            if size > bytes_max:
                raise UpstreamFailed(Failure.GARBAGE, "the answer exceeds its bound")
        return b"".join(parts) if len(parts) != 1 else parts[0]

    async def _raise_for_status(self, connection: Connection) -> None:
        status = connection.status
        if status in (400, 413, 422):
            message, param, code = _error_of(await self._read(_ERROR_BYTES_MAX))
            if code.lower() in _OPERATORS_CODES:
                raise UpstreamFailed(Failure.REFUSED, f"status {status}: {code[:50]}")
            param = self._mask(param)[:200] if param else None
            raise UpstreamFailed(Failure.REJECTED, self._mask(message)[:500], param)
        if status in (408, 504):
            raise UpstreamFailed(Failure.TIMEOUT, f"status {status}")
        if status in (409, 425, 429, 503, 529):
            raise UpstreamFailed(Failure.OVERLOADED, f"status {status}")
        if 300 <= status < 500:
            # A bad credential, an unpaid bill, a wrong name: the operator's trouble.
            raise UpstreamFailed(Failure.REFUSED, f"status {status}")
        raise UpstreamFailed(Failure.UNREACHABLE, f"status {status}")

    def _mask(self, text: str) -> str:
        """A provider's words without the channel's credential, or anything that looks like one."""
        if self._channel.credential:
            text = text.replace(self._channel.credential, "…")
        return _SECRET.sub("…", text)


def event_of(payload: bytes) -> dict[str, Any]:
    """The JSON object that an event is. Raises `StreamDied` where it is none, or an error."""
    try:
        value = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise StreamDied("an event is not JSON") from None
    if not isinstance(value, dict):
        raise StreamDied("an event is not a JSON object")
    if value.get("error"):
        raise StreamDied("the provider reported an error")
    return value


def _error_of(data: bytes) -> tuple[str, str | None, str]:
    """Message, param and code of an upstream's error body, where it has them."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = _decoder.decode(data)
        error = body.get("error", body) if isinstance(body, dict) else None
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            param, code = error.get("param"), error.get("code")
            return (
                error["message"],
                param if isinstance(param, str) else None,
                code if isinstance(code, str) else "",
            )
    return "The provider rejected the request.", None, ""
