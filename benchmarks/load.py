"""The load generator: a process of its own that carries out jobs, `python -m benchmarks.load`.

One job a line on stdin as JSON, one result a line on stdout; ends when stdin does. Closed loop:
each connection sends its next request when the last reply is whole. The kernel's accounting of
the watched processes is read here, at the very edges of the measured time.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from typing import cast

import msgspec

from benchmarks import bodies, kernel
from benchmarks.wire import ReplyReader, request_bytes

STUCK_SECONDS = 20.0
STRETCH_SECONDS, STRETCH_MAX = 0.1, 100


class Job(msgspec.Struct, frozen=True):
    """What to send, to whom, how many at a time, for how long."""

    port: int
    path: str
    model: str
    body_bytes: int
    is_stream: bool
    concurrent: int
    seconds: float
    warm_seconds: float
    # API keys, used in turn; an empty one sends no Authorization.
    keys: list[str]
    # By name: whose CPU time to account.
    watched: dict[str, int]
    # Whose resident memory to sample at the end of the measured time.
    watch_memory: str = ""
    # Fewer answers than these make no figure: the measured time is stretched, up to `STRETCH_MAX`.
    completed_min: int = 0
    # Sent with every request, beside the key.
    headers: dict[str, str] = {}


class Result(msgspec.Struct, frozen=True):
    """What one job measured. Times in milliseconds, per completed request."""

    seconds: float
    completed: int
    failed: int
    events: int
    latencies_ms: list[float]
    first_bytes_ms: list[float]
    # CPU seconds by watched name, the generator's own as "load", and everybody's as "machine".
    cpu_seconds: dict[str, float]
    statuses: dict[int, int]
    resident_bytes: int = 0


class Round:
    """The tallies of one job, shared by its connections."""

    def __init__(self, job: Job) -> None:
        self.job = job
        body = bodies.chat(job.model, job.body_bytes, is_stream=job.is_stream)
        self.requests: Iterator[bytes] = itertools.cycle(
            request_bytes(
                job.path, body, job.headers | ({"Authorization": f"Bearer {key}"} if key else {})
            )
            for key in job.keys
        )
        self.is_over = False
        self.running = 0
        self.idle = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget what the warm-up brought."""
        self.completed = self.failed = self.events = 0
        self.latencies: list[float] = []
        self.first_bytes: list[float] = []
        self.statuses: dict[int, int] = {}

    def note(self, reader: ReplyReader, seconds: float, first: float) -> None:
        if reader.status != 200 or (self.job.is_stream and not reader.is_done):
            self.failed += 1
            self.statuses[reader.status] = self.statuses.get(reader.status, 0) + 1
            return
        self.completed += 1
        self.latencies.append(seconds)
        self.first_bytes.append(first)

    def cpu_seconds(self) -> dict[str, float]:
        found = {name: kernel.cpu_seconds(pid) for name, pid in self.job.watched.items()}
        return found | {"load": time.process_time(), "machine": kernel.busy_seconds()}


class Connection(asyncio.Protocol):
    """One customer: asks, waits for the whole answer, asks again."""

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._reader = ReplyReader()
        self._sent = self._first = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def ask(self) -> None:
        self._round.running += 1
        self._send()

    def _send(self) -> None:
        self._reader.reset()
        self._sent, self._first = time.perf_counter(), 0.0
        self.transport.write(next(self._round.requests))

    def data_received(self, data: bytes) -> None:
        reader, round_ = self._reader, self._round
        before = reader.events
        is_whole = reader.feed(data)
        round_.events += reader.events - before
        if not self._first and reader.has_body:
            self._first = time.perf_counter()
        if is_whole:
            round_.note(reader, time.perf_counter() - self._sent, self._first - self._sent)
            if round_.is_over:
                self._stop()
            else:
                self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if self._sent and not self._round.idle.is_set():
            self._round.failed += 1
            self._round.statuses[0] = self._round.statuses.get(0, 0) + 1
            self._stop()

    def _stop(self) -> None:
        self._sent = 0.0
        self._round.running -= 1
        if self._round.running == 0:
            self._round.idle.set()


async def run(job: Job) -> Result:
    """Warm up, measure, let what is in flight end, and hang up."""
    loop, round_ = asyncio.get_running_loop(), Round(job)
    connections: list[Connection] = []
    for _ in range(job.concurrent):
        _, made = await loop.create_connection(lambda: Connection(round_), "127.0.0.1", job.port)
        connections.append(made)
    for index, connection in enumerate(connections):
        # Spread over the warm-up: customers do not arrive in step.
        loop.call_later(job.warm_seconds * 0.8 * index / job.concurrent, connection.ask)
    await asyncio.sleep(job.warm_seconds)
    round_.reset()
    began, before = time.perf_counter(), round_.cpu_seconds()
    await asyncio.sleep(job.seconds)
    stretched = 0
    while round_.completed < job.completed_min and stretched < STRETCH_MAX:
        await asyncio.sleep(STRETCH_SECONDS)
        stretched += 1
    seconds, after = time.perf_counter() - began, round_.cpu_seconds()
    watched = job.watched.get(job.watch_memory)
    result = Result(
        seconds=seconds,
        completed=round_.completed,
        failed=round_.failed,
        events=round_.events,
        latencies_ms=[value * 1000 for value in round_.latencies],
        first_bytes_ms=[value * 1000 for value in round_.first_bytes],
        cpu_seconds={name: after[name] - before[name] for name in after},
        statuses=dict(round_.statuses),  # what is still in flight goes on counting
        resident_bytes=kernel.resident_bytes(watched) if watched else 0,
    )
    round_.is_over = True
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            await round_.idle.wait()
    except TimeoutError:
        result = _with_stuck(result, round_.running)
    for connection in connections:
        connection.transport.abort()
    return result


def _with_stuck(result: Result, count: int) -> Result:
    """Requests that never ended have failed, without a status."""
    statuses = result.statuses | {0: result.statuses.get(0, 0) + count}
    return msgspec.structs.replace(result, failed=result.failed + count, statuses=statuses)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Job)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        result = await run(decoder.decode(line))
        sys.stdout.write(encoder.encode(result).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
