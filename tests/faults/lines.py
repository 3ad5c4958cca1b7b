"""HTTP/1.1 that breaks off where it is told to: an upstream that plays prepared bytes up to any one
of them, and a client that hangs up after any one of them. Both note when."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from benchmarks.wire import END_OF_HEAD, RequestReader

_TAG = re.compile(rb"run-(\d+)-end")
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *(\S+)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")
# What was written gets through before a reset, which would overtake it.
RESET_SECONDS = 0.02


class Then(StrEnum):
    """What follows the last byte."""

    WAIT = "wait"  # nothing more, ever; or, after a whole answer, the next request
    CLOSE = "close"  # the connection ends
    RESET = "reset"  # and with a reset


@dataclass(frozen=True)
class Play:
    """The bytes of one answer, in one write each, and what follows them."""

    writes: tuple[bytes, ...]
    then: Then
    gap_seconds: float = 0.0


@dataclass
class Seen:
    """One request as the upstream saw it. Times are `time.monotonic()`."""

    request_id: str
    bytes_sent: int = 0
    closed_at: float | None = None


@dataclass
class Theatre:
    """What the upstream plays for each tagged request, and what it saw of each."""

    plays: dict[int, Play] = field(default_factory=dict)
    seen: dict[int, list[Seen]] = field(default_factory=dict)

    async def open(self, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Stage(self), "127.0.0.1", port, backlog=4096)


def tag(number: int) -> str:
    """What a request's text must hold for the upstream to know it."""
    return f"run-{number}-end"


class _Stage(asyncio.Protocol):
    """One of the gateway's connections."""

    def __init__(self, theatre: Theatre) -> None:
        self._theatre = theatre
        self._reader = RequestReader()
        self._seen: Seen | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._seen is not None and self._seen.closed_at is None:
            self._seen.closed_at = time.monotonic()

    def data_received(self, data: bytes) -> None:
        request = self._reader.feed(data)
        if request is None:
            return
        head, body = request
        found, asked_by = _TAG.search(body), _REQUEST_ID.search(head)
        assert found and asked_by
        number = int(found[1])
        self._seen = seen = Seen(asked_by[1].decode())
        self._theatre.seen.setdefault(number, []).append(seen)
        self._go_on(self._theatre.plays[number], 0, seen)

    def _go_on(self, play: Play, index: int, seen: Seen) -> None:
        if self._transport.is_closing() or seen is not self._seen:
            return
        loop = asyncio.get_running_loop()
        while index < len(play.writes):
            self._transport.write(play.writes[index])
            seen.bytes_sent += len(play.writes[index])
            index += 1
            if play.gap_seconds:
                loop.call_later(play.gap_seconds, self._go_on, play, index, seen)
                return
        if play.then is Then.CLOSE:
            self._transport.close()
        elif play.then is Then.RESET:
            loop.call_later(RESET_SECONDS, self._reset, seen)

    def _reset(self, seen: Seen) -> None:
        """Unless the gateway asks the next request here already, whose answer is another play."""
        if seen is self._seen:
            reset(self._transport)


class Leave(StrEnum):
    """How a client hangs up."""

    CLOSE = "close"
    RESET = "reset"
    HALF = "half"  # it says that it will send no more, and is not heard of again


class Line(asyncio.Protocol):
    """A client's connection for one request. `leaves` is asked after each read whether the client
    has had enough of what came; `received` is that, head and all."""

    def __init__(self, request: bytes, leaves: Callable[[bytes], bool], how: Leave) -> None:
        self._request = request
        self._leaves = leaves
        self._how = how
        self._transport: asyncio.Transport
        self.received = b""
        self.left_at: float | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"the client, gone at {self.left_at}, had {self.received[-300:]!r}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.left_at is None:
            self.received += data
            if self._leaves(self.received):
                self.leave()

    def leave(self) -> None:
        """Hang up now."""
        if self.left_at is not None or self._transport.is_closing():
            return
        self.left_at = time.monotonic()
        match self._how:
            case Leave.CLOSE:
                self._transport.close()
            case Leave.RESET:
                reset(self._transport)
            case Leave.HALF:
                self._transport.write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    @property
    def is_whole(self) -> bool:
        """Whether a whole answer has come."""
        head, found, rest = self.received.partition(END_OF_HEAD)
        if not found:
            return False
        if b"chunked" in head.lower():
            return rest.endswith(b"0\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        return length is not None and len(rest) >= int(length[1])

    @property
    def status(self) -> int:
        return int(self.received[9:12] or 0)

    @property
    def body(self) -> bytes:
        """What came of the body, its chunks joined, the last one as far as it came."""
        head, _, rest = self.received.partition(END_OF_HEAD)
        if b"chunked" not in head.lower():
            return rest
        out = b""
        while found := _CHUNK.match(rest):
            size = int(found[1], 16)
            out += rest[found.end() : found.end() + size]
            rest = rest[found.end() + size + 2 :]
        return out

    def hang_up(self) -> None:
        self._transport.abort()


def reset(transport: asyncio.Transport) -> None:
    """Close with a reset instead of an orderly end."""
    if transport.is_closing():
        return
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
