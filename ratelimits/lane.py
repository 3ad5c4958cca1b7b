"""One connection to Redis for the hot path: commands of a loop tick leave in one write, replies
come back in order. A reply that is late by the stated timeout breaks the lane; callers then
have `LaneDown` at once until a reconnect in the background succeeds.

redis-py serves everything else; at 64 concurrent callers it costs thirteen times as much.
"""

import asyncio
import hashlib
import logging
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

log = logging.getLogger(__name__)

PENDING_MAX = 20_000
RECONNECT_SECONDS = 0.25


class LaneDown(Exception):
    """Redis cannot be asked now, or did not answer in time."""


class Lane(asyncio.Protocol):
    """Runs one script, registered at connect. Not for more than one event loop."""

    def __init__(self, url: str, script: str, *, timeout_seconds: float) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 6379
        self._path = parts.path if parts.scheme == "unix" else ""
        self._database = parse_qs(parts.query).get("db", [parts.path.strip("/") or "0"])[0]
        self._login = [unquote(part) for part in (parts.username, parts.password) if part]
        self._ssl = ssl.create_default_context() if parts.scheme == "rediss" else None
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._timeout_seconds = timeout_seconds
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._pending: deque[tuple[asyncio.Future[object] | None, float]] = deque()
        self._outgoing: list[bytes] = []
        self._is_ready = False
        self._broken = asyncio.Event()
        self._check_timer: asyncio.TimerHandle | None = None
        self._check_due = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.breaks = 0
        self.on_ready: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Connect, and keep connecting in the background where that fails."""
        self._loop = asyncio.get_running_loop()
        self._broken.set()
        with suppress(OSError, LaneDown, TimeoutError):
            await self._connect()
        self._tasks = [asyncio.create_task(self._reconnect_forever())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._break("stopped")
        if self._check_timer is not None:
            self._check_timer.cancel()

    @property
    def is_ready(self) -> bool:
        return self._is_ready

    def run(self, keys: list[str], arguments: list[int]) -> "asyncio.Future[object]":
        """The script's reply. Raises `LaneDown` at once, or through the future when late."""
        if not self._is_ready or len(self._pending) >= PENDING_MAX:
            raise LaneDown
        future: asyncio.Future[object] = self._loop.create_future()
        self._send(("EVALSHA", self._sha, len(keys), *keys, *arguments), future)
        return future

    def run_and_forget(self, keys: list[str], arguments: list[int]) -> None:
        """The same where nobody needs the reply. Raises `LaneDown` at once."""
        if not self._is_ready or len(self._pending) >= PENDING_MAX:
            raise LaneDown
        self._send(("EVALSHA", self._sha, len(keys), *keys, *arguments), None)

    # --- the protocol ---------------------------------------------------------------------------

    def _send(
        self,
        command: tuple[str | int | float | bytes, ...],
        future: "asyncio.Future[object] | None",
    ) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        # Its stub knows only tuples of one element.
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type]
        self._pending.append((future, self._loop.time()))
        if self._check_timer is None:
            self._check_in(self._timeout_seconds)

    def _flush(self) -> None:
        data, self._outgoing = b"".join(self._outgoing), []
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            future, _ = self._pending.popleft()
            if isinstance(reply, hiredis.ReplyError):
                log.error("Redis refused a command: %s", reply)
                if str(reply).startswith("NOSCRIPT"):
                    # Redis was restarted or its scripts flushed: connect anew, which loads it.
                    self._resolve(future, LaneDown())
                    self._break("the script is gone")
                    return
            self._resolve(future, reply)

    def _resolve(self, future: "asyncio.Future[object] | None", reply: object) -> None:
        if future is None or future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply if isinstance(reply, LaneDown) else LaneDown(str(reply)))
        else:
            future.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._break(str(error or "closed by Redis"))

    def _break(self, why: str) -> None:
        if self._is_ready:
            self.breaks += 1
            log.warning("Redis lane broken: %s", why)
        self._is_ready = False
        self._broken.set()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        while self._pending:
            self._resolve(self._pending.popleft()[0], LaneDown(why))
        self._outgoing = []

    # --- connecting -----------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._reader = hiredis.Reader()
        async with asyncio.timeout(1):
            if self._path:
                transport, _ = await self._loop.create_unix_connection(lambda: self, self._path)
            else:
                transport, _ = await self._loop.create_connection(
                    lambda: self, self._host, self._port, ssl=self._ssl
                )
            self._transport = transport
            greetings: list[tuple[str | int, ...]] = []
            if self._login:
                greetings.append(("AUTH", *self._login))
            greetings += [("SELECT", self._database), ("SCRIPT", "LOAD", self._script)]
            futures: list[asyncio.Future[object]] = []
            for command in greetings:
                futures.append(self._loop.create_future())
                self._send(command, futures[-1])
            await asyncio.gather(*futures)
        self._is_ready = True
        self._broken.clear()
        self.on_ready()

    async def _reconnect_forever(self) -> None:
        while True:
            await self._broken.wait()
            await asyncio.sleep(RECONNECT_SECONDS)
            try:
                await self._connect()
            except (OSError, LaneDown, TimeoutError) as error:
                self._break(str(error))

    # --- late replies ---------------------------------------------------------------------------

    def _check_in(self, seconds: float) -> None:
        self._check_due = self._loop.time() + seconds
        self._check_timer = self._loop.call_later(seconds, self._check)

    def _check(self) -> None:
        """Break a lane whose oldest reply is late. Nothing ticks while no reply is awaited."""
        self._check_timer = None
        if not self._pending:
            return
        now, tick = self._loop.time(), self._timeout_seconds / 5
        left = self._pending[0][1] + self._timeout_seconds - now
        # Where this process itself was too busy to look in time, the reply may be waiting to be
        # read: the next look tells. Connecting has a bound of its own.
        if left <= 0 and now - self._check_due < tick and self._is_ready:
            self._break("no answer in time")
        else:
            self._check_in(max(left, tick))
