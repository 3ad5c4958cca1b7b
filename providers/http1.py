"""An HTTP/1.1 client for upstreams: one POST at a time per connection, connections kept.

The gateway's own, because this is where most of a request's processor time goes: on httptools'
parser it costs a third of what aiohttp does, and a thirtieth of httpx (docs/decisions/0002).
It speaks what upstreams need and no more: no redirects, cookies, proxies or compression.
Waiting is bounded by the caller, through cancellation; connecting and buffering here.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

CONNECTIONS_MAX = 4096
IDLE_PER_TARGET_MAX = 512
IDLE_SECONDS_MAX = 30.0
# A kept connection that had been closed already fails within a round trip.
STALE_SECONDS = 1.0
HEADER_BYTES_MAX = 64 * 1024
# Above this much unread body the socket is no longer read, until the reader catches up.
BUFFER_BYTES_MAX = 256 * 1024


class ConnectionBroke(OSError):
    """The connection failed, or ended, before the answer did."""


class BadAnswer(Exception):
    """What came is not an HTTP/1.1 answer, or its head exceeds its bound."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, with every header but the length prepared."""

    host: str
    port: int
    is_tls: bool
    head: bytes = field(repr=False)  # the credential is in it

    @classmethod
    def of(cls, url: str, headers: dict[str, str]) -> "Target":
        """Raises ValueError where the URL or a header cannot be sent."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an upstream's URL is http(s)://host…")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        text = "\r\n".join(lines)
        if any(ord(char) < 32 for line in lines for char in line) or not text.isascii():
            raise ValueError("a header holds characters that cannot be sent")
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        return cls(parts.hostname, port, is_tls, (text + "\r\n").encode())

    @property
    def place(self) -> tuple[str, int, bool]:
        return self.host, self.port, self.is_tls


class Connection(asyncio.Protocol):
    """One connection and the answer it is reading. The parser calls the `on_` methods."""

    __slots__ = (
        "_buffered", "_chunks", "_error", "_head_bytes", "_is_paused", "_loop", "_may_be_kept",
        "_parser", "_take", "_transport", "_waiter", "has_answer_begun", "has_head", "headers",
        "idle_since", "is_closed", "is_whole", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._error: Exception | None = None
        self.is_closed = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._head_bytes = 0
        self._is_paused = False
        self._may_be_kept = False
        self.headers: dict[bytes, bytes] = {}
        self.status = 0
        self.has_head = False
        self.is_whole = False
        self.has_answer_begun = False

    # --- asking and reading -------------------------------------------------------------------

    async def send(self, data: list[bytes]) -> None:
        """Send a request, wait for the answer's head. Raises `ConnectionBroke`, `BadAnswer`."""
        assert self._transport is not None
        self._begin()
        self._transport.writelines(data)
        while not self.has_head:
            await self._wait()

    async def read(self) -> bytes:
        """What has come of the body, as soon as there is any; empty at its end."""
        while not self._chunks:
            if self.is_whole:
                return b""
            await self._wait()
        return self._take_chunks()

    async def flow(self, take: Callable[[bytes], bool]) -> None:
        """Hand `take` the body as it comes, inside the very reads that bring it, so that no task
        wakes for a part. Returns once `take` does with True, and at the body's end: see
        `is_spent`. What `take` raises is raised here."""
        if self._chunks and take(self._take_chunks()):
            return
        if self.is_whole:
            return
        self._take = take
        try:
            await self._wait()
        finally:
            self._take = None

    def _take_chunks(self) -> bytes:
        chunks, self._chunks, self._buffered = self._chunks, [], 0
        if self._is_paused and self._transport is not None and not self.is_closed:
            self._is_paused = False
            self._transport.resume_reading()
        return b"".join(chunks) if len(chunks) > 1 else chunks[0]

    @property
    def is_spent(self) -> bool:
        """Whether the body has been taken to its end."""
        return self.is_whole and not self._chunks

    @property
    def is_reusable(self) -> bool:
        return self.is_whole and not self.is_closed and not self._chunks and self._may_be_kept

    def close(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self.is_closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    # --- asyncio's calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only

    def data_received(self, data: bytes) -> None:
        if self.is_whole:
            # Nobody asked for more: what follows cannot be told from the next answer.
            self.close()
            return
        self.has_answer_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._hand_over()
            # What is wrong may have come after this request's answer.
            if not self.is_whole:
                self._fail(BadAnswer(type(error).__name__))
            self.close()
            return
        self._hand_over()
        if self._buffered > BUFFER_BYTES_MAX and not self._is_paused and self._transport:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        if self.is_whole:
            return
        has_length = (
            b"content-length" in self.headers
            or b"chunked" in self.headers.get(b"transfer-encoding", b"").lower()
        )
        if self.has_head and error is None and not has_length:
            # A body without a stated end ends with its connection.
            self.is_whole = True
            self._wake()
        else:
            self._fail(ConnectionBroke(str(error or "closed before the answer's end")))

    def _hand_over(self) -> None:
        """What has come goes to whoever takes it, or else wakes whoever waits for it."""
        take, waiter, chunks = self._take, self._waiter, self._chunks
        if take is None or waiter is None or waiter.done():
            self._wake()  # also one that was cancelled takes nothing more
            return
        try:
            if len(chunks) == 1 and not self._is_paused:  # as `_take_chunks`, for nearly all reads
                self._buffered = 0
                is_enough = take(chunks.pop())
            else:
                is_enough = bool(chunks) and take(self._take_chunks())
        except Exception as error:
            waiter.set_exception(error)
            return
        if is_enough or self.is_whole:
            waiter.set_result(None)

    # --- the parser's calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise BadAnswer("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEADER_BYTES_MAX:
            raise BadAnswer("the answer's head exceeds its bound")
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.has_head = self.status >= 200
        self._may_be_kept = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_whole = True
        else:
            self.headers = {}  # of an interim answer such as 100 Continue


class Pool:
    """Connections by target. The most recently used one is used next."""

    def __init__(self, *, connect_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._idle: dict[tuple[str, int, bool], deque[Connection]] = {}
        self._open = 0
        self._tls = ssl.create_default_context()

    async def send(self, target: Target, head: bytes, body: bytes) -> Connection:
        """The connection, its answer's head read. A kept connection that turns out to have been
        closed meanwhile is replaced once by a fresh one. Raises OSError or `BadAnswer`."""
        data = [target.head, head, body]
        connection = self._take_idle(target)
        if connection is not None:
            asked_at = time.monotonic()
            try:
                return await self._ask(connection, data)
            except ConnectionBroke:
                # Later than that, the upstream has had the request: it is not paid for twice.
                if connection.has_answer_begun or time.monotonic() - asked_at > STALE_SECONDS:
                    raise
        return await self._ask(await self._connect(target), data)

    async def _ask(self, connection: Connection, data: list[bytes]) -> Connection:
        try:
            await connection.send(data)
        except BaseException:
            self.release(connection, None)
            raise
        return connection

    def release(self, connection: Connection, target: Target | None) -> None:
        """Give a connection back: kept where its answer was read whole, closed otherwise."""
        if target is not None and connection.is_reusable:
            idle = self._idle.setdefault(target.place, deque())
            if len(idle) < IDLE_PER_TARGET_MAX:
                connection.idle_since = time.monotonic()
                idle.append(connection)
                return
        self._open -= 1
        connection.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _take_idle(self, target: Target) -> Connection | None:
        idle = self._idle.get(target.place)
        oldest = time.monotonic() - IDLE_SECONDS_MAX
        while idle:
            if idle[0].idle_since < oldest:
                self.release(idle.popleft(), None)
                continue
            connection = idle.pop()
            if not connection.is_closed:
                return connection
            self.release(connection, None)
        return None

    async def _connect(self, target: Target) -> Connection:
        if self._open >= CONNECTIONS_MAX:
            raise ConnectionBroke("too many connections")
        self._open += 1
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    target.host,
                    target.port,
                    ssl=self._tls if target.is_tls else None,
                )
        except BaseException:
            self._open -= 1
            raise
        return connection
