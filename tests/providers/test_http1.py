"""The HTTP/1.1 client against servers that do what they should not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from providers import http1
from providers.http1 import ConnectionBroke, Pool, Target

Handler = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], object]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"Content-Length: 2\r\n\r\n"


@asynccontextmanager
async def _served(handle: Handler) -> AsyncIterator[tuple[Pool, Target]]:
    """A server whose handler is told the number of the connection."""
    count = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await handle(count, reader, writer)  # type: ignore[misc]
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    pool = Pool(connect_seconds=2)
    try:
        yield pool, Target.of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", {})
    finally:
        pool.close()
        server.close()


async def _take_request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


async def _ask(pool: Pool, target: Target) -> bytes:
    connection = await pool.send(target, HEAD, b"{}")
    body = b""
    while part := await connection.read():
        body += part
    pool.release(connection, target)
    return body


async def test_a_kept_connection_closed_meanwhile_is_replaced() -> None:
    async def handle(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _take_request(reader)
        writer.write(ANSWER)
        await writer.drain()
        if number > 1:
            await asyncio.sleep(1)
            return
        await _take_request(reader)  # closed under the next request, unanswered

    async with _served(handle) as (pool, target):
        assert [await _ask(pool, target) for _ in range(2)] == [b"{}", b"{}"]


async def test_a_request_that_the_upstream_has_had_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http1, "STALE_SECONDS", 0.05)
    seen: list[float] = []

    async def handle(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _take_request(reader)
        seen.append(time.monotonic())
        writer.write(ANSWER)
        await writer.drain()
        await _take_request(reader)
        seen.append(time.monotonic())
        await asyncio.sleep(0.2)  # it worked for a while, then fell over

    async with _served(handle) as (pool, target):
        await _ask(pool, target)
        with pytest.raises(ConnectionBroke):
            await _ask(pool, target)
    assert len(seen) == 2


async def test_a_second_answer_is_not_mixed_into_the_first_and_ends_the_connection() -> None:
    async def handle(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _take_request(reader)
        extra = ANSWER.replace(b"{}", b"[]") if number == 1 else b""
        writer.write(ANSWER + extra)
        await writer.drain()
        await asyncio.sleep(0.5)

    async with _served(handle) as (pool, target):
        assert [await _ask(pool, target) for _ in range(2)] == [b"{}", b"{}"]


async def test_a_chunked_body_cut_by_a_polite_close_is_broken() -> None:
    async def handle(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()

    async with _served(handle) as (pool, target):
        with pytest.raises(ConnectionBroke):
            await _ask(pool, target)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\0", "é"])
def test_a_header_that_cannot_be_sent_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        Target.of("https://host/v1", {"Authorization": value})


PARTS = [b"one", b"two", b"three"]


async def _send_parts(
    number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Each part of the body in a read of its own."""
    await _take_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in PARTS:
        await asyncio.sleep(0.02)
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
    writer.write(b"0\r\n\r\n")
    await asyncio.sleep(0.5)


def _into(taken: list[bytes]) -> Callable[[bytes], bool]:
    def take(data: bytes) -> bool:
        taken.append(data)
        return False

    return take


async def test_a_flowing_body_is_handed_over_in_its_reads_to_its_end() -> None:
    async with _served(_send_parts) as (pool, target):
        connection = await pool.send(target, HEAD, b"{}")
        taken: list[bytes] = []
        await connection.flow(_into(taken))
        assert (taken, connection.is_spent, connection.is_reusable) == (PARTS, True, True)


async def test_a_taker_that_has_enough_is_given_the_rest_when_it_asks_again() -> None:
    async with _served(_send_parts) as (pool, target):
        connection = await pool.send(target, HEAD, b"{}")
        taken: list[bytes] = []

        def take(data: bytes) -> bool:
            taken.append(data)
            return True

        await connection.flow(take)
        assert taken == PARTS[:1]
        await asyncio.sleep(0.1)
        assert taken == PARTS[:1]
        await connection.flow(take)
        assert (b"".join(taken), connection.is_spent) == (b"".join(PARTS), True)


async def test_what_a_taker_raises_reaches_whoever_waits() -> None:
    async with _served(_send_parts) as (pool, target):
        connection = await pool.send(target, HEAD, b"{}")
        with pytest.raises(ZeroDivisionError):
            await connection.flow(lambda data: 1 // 0 > 0)


async def test_a_cancelled_flow_takes_nothing_more() -> None:
    async with _served(_send_parts) as (pool, target):
        connection = await pool.send(target, HEAD, b"{}")
        taken: list[bytes] = []
        task = asyncio.ensure_future(connection.flow(_into(taken)))
        await asyncio.sleep(0)
        task.cancel()
        connection.data_received(b"4\r\nlate\r\n")  # before the task has run
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.15)
        assert taken == []
        assert await connection.read() == b"late" + b"".join(PARTS)


async def test_what_came_before_a_broken_chunk_is_handed_over() -> None:
    async def handle(
        number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.02)
        writer.write(b"5\r\nhello\r\nzz\r\n")
        await asyncio.sleep(0.5)

    async with _served(handle) as (pool, target):
        connection = await pool.send(target, HEAD, b"{}")
        taken: list[bytes] = []
        with pytest.raises(http1.BadAnswer):
            await connection.flow(_into(taken))
        assert taken == [b"hello"]
