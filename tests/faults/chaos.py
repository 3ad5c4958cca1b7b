"""A TCP proxy that misbehaves when told to, in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

# pass: as the wire is. delay: everything comes late. throttle: a trickle. cut: connections are
# reset, new ones too. deaf: what is sent arrives, the answer does not, then the connection is
# reset (a commit whose acknowledgement is lost). half: the server's side is closed, the other
# stays. freeze: nothing moves, nothing is closed.
Mode = Literal["pass", "delay", "throttle", "cut", "deaf", "half", "freeze"]
TROUBLES: tuple[Mode, ...] = ("delay", "throttle", "cut", "deaf", "half", "freeze")
_DELAY_SECONDS = 0.15
_TRICKLE_BYTES = 400
_TICK_SECONDS = 0.02


class ChaosProxy:
    """Listens on `port` of loopback for one server."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._target = (host, port)
        self._mode: Mode = "pass"
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @contextmanager
    def running(self) -> Iterator[ChaosProxy]:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(server), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def misbehave(self, mode: Mode) -> None:
        """From now on, for connections that are open and that come."""
        self._loop.call_soon_threadsafe(self._change, mode)

    def _change(self, mode: Mode) -> None:
        was_deaf, self._mode = self._mode == "deaf", mode
        if mode == "freeze":
            self._flows.clear()
        else:
            self._flows.set()
        if mode == "cut" or was_deaf:
            self._reset_all()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, backlog=200)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        self._flows.set()
        self._reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "cut":
            writer.transport.abort()
            return
        try:
            there, onward = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, onward}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, onward, is_answer=False),
                self._pump(there, writer, is_answer=True),
            )
        finally:
            self._writers -= pair
            for one in pair:
                one.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._carry(data, writer, is_answer=is_answer)
            writer.write_eof()

    async def _carry(self, data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        await self._flows.wait()
        if self._mode == "deaf" and is_answer:
            return
        if self._mode == "half" and is_answer and random.random() < 0.3:
            writer.write_eof()
            return
        if self._mode == "delay":
            await asyncio.sleep(_DELAY_SECONDS)
        while self._mode == "throttle" and len(data) > _TRICKLE_BYTES:
            writer.write(data[:_TRICKLE_BYTES])
            data = data[_TRICKLE_BYTES:]
            await asyncio.sleep(_TICK_SECONDS)
        writer.write(data)
        await writer.drain()
