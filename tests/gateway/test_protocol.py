"""The edge of the wire, by raw sockets: heads past a bound and ambiguous framing go no further.
And what is written past ASGI is what ASGI would have written."""

import asyncio
import json
import logging
import socket
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from config import serve
from config.launcher import ports
from config.launcher.folder import PROJECT
from gateway import protocol
from gateway.protocol import HEAD_BYTES_MAX, HEAD_SECONDS, HEADERS_MAX
from tests.stack import Stack

HOST = b"Host: localhost\r\n"


def _open(stack: Stack) -> socket.socket:
    where = urlsplit(stack.base_url)
    return socket.create_connection((where.hostname, where.port), timeout=HEAD_SECONDS + 5)


def _send(stack: Stack, *parts: bytes) -> tuple[int, str]:
    """Send the parts, each in a packet, and return the answer's status and error code."""
    with _open(stack) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)
        return _read(connection)


def _read(connection: socket.socket) -> tuple[int, str]:
    """Status and error code of an answer that ends with the connection."""
    answer = b""
    while more := connection.recv(65536):
        answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower(), answer[:500]
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def _post(*headers: bytes, body: bytes = b"") -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


@pytest.mark.parametrize(
    "request_bytes",
    [
        _post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        _post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        _post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
        _post(b"Content-Length: -1"),
        _post(b"X-Long: one", b" and two"),
        _post(b"X-Space : one"),
        _post(b"X-Zero: a\x00b"),
        b"GET /v1/models HTTP/1.1\nHost: localhost\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/models HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET /v1/models HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET /v1/models\r\n" + HOST + b"\r\n",
    ],
    ids=["CL+TE", "TE+CL", "two CL", "negative CL", "obs-fold", "space before colon", "NUL",
         "bare LF", "TLS", "unknown version", "2.0", "no version"],
)  # fmt: skip
def test_a_request_that_two_servers_could_read_differently_is_400(
    stack: Stack, request_bytes: bytes
) -> None:
    assert _send(stack, request_bytes) == (400, "malformed_request")


def test_a_head_of_more_headers_than_the_bound_is_431(stack: Stack) -> None:
    lines = [b"X-%d: 1" % number for number in range(HEADERS_MAX)]
    assert _send(stack, _post(*lines)) == (431, "head_too_large")


def test_a_head_of_more_bytes_than_the_bound_is_431_in_one_read_or_in_many(stack: Stack) -> None:
    long = b"X-Long: " + b"a" * HEAD_BYTES_MAX
    assert _send(stack, _post(long)) == (431, "head_too_large")
    assert _send(stack, _post(long)[:-4], b"b" * 10) == (431, "head_too_large")
    target = b"GET /v1/" + b"a" * HEAD_BYTES_MAX
    assert _send(stack, target, b"a" * 10) == (431, "head_too_large")


def test_a_large_body_beside_a_small_head_is_no_large_head(stack: Stack) -> None:
    body = b"{" + b" " * (2 * HEAD_BYTES_MAX)
    length = b"Content-Length: %d" % len(body)
    with _open(stack) as connection:
        connection.sendall(_post(length, body=body))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_heads_that_trickle_or_never_begin_are_cut_and_others_are_answered(stack: Stack) -> None:
    began = time.monotonic()
    with _open(stack) as silent, _open(stack) as trickling, _open(stack) as second:
        get = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        second.sendall(get)
        assert second.recv(65536).startswith(b"HTTP/1.1 200 ")
        second.sendall(get[:9])
        letters = (bytes([letter]) for letter in get)
        while time.monotonic() - began < HEAD_SECONDS - 1:
            trickling.sendall(next(letters))
            with _open(stack) as other:
                other.sendall(get)
                assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)
        for connection in (silent, trickling, second):
            assert _read(connection) == (408, "request_timeout")
    assert HEAD_SECONDS <= time.monotonic() - began < HEAD_SECONDS + 3


def test_a_gateway_told_to_stop_drains_and_exits_with_zero(stack: Stack) -> None:
    port = ports.pick()
    stack.start_another_gateway("leaving", f"http://127.0.0.1:{port}")
    leaving = stack.processes.pop("leaving")
    leaving.terminate()
    assert leaving.wait(20) == 0


def test_a_gateway_whose_port_is_taken_does_not_exit_with_zero(stack: Stack) -> None:
    taken = urlsplit(stack.base_url).port
    assert taken is not None
    done = subprocess.run(
        serve.command(taken), env=stack.environment, cwd=PROJECT, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode not in (0, -15), done.stderr


class _Transport:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def _cycle(transport: _Transport) -> RequestResponseCycle:
    return RequestResponseCycle(
        {"method": "POST"},  # type: ignore[typeddict-item]
        transport,  # type: ignore[arg-type]
        FlowControl(transport),  # type: ignore[arg-type]
        logging.getLogger(),
        logging.getLogger(),
        False,
        [],
        asyncio.Event(),
        False,
        True,
        lambda: None,
    )


async def test_a_chunk_written_at_once_is_the_chunk_that_send_writes() -> None:
    transports = _Transport(), _Transport()
    short, long = map(_cycle, transports)
    for cycle in (short, long):
        await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
    assert protocol.write_at_once(short.send, b"some data")
    await long.send({"type": "http.response.body", "body": b"some data", "more_body": True})
    assert transports[0].data == transports[1].data


@pytest.mark.parametrize("state", ["slow", "gone", "with a length", "of another server"])
async def test_nothing_is_written_at_once_to_a_client_that_is(state: str) -> None:
    transport = _Transport()
    cycle = _cycle(transport)
    headers = [(b"content-length", b"9")] if state == "with a length" else []
    await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
    before = transport.data
    if state == "slow":
        cycle.flow.pause_writing()
    cycle.disconnected = state == "gone"
    send: Any = print if state == "of another server" else cycle.send
    assert not protocol.write_at_once(send, b"some data")
    assert transport.data == before
