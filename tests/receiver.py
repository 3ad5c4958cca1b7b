"""A webhook receiver: a real HTTP server on loopback that keeps what it got and answers as told.

    with Receiver() as receiver:
        receiver.answers = [Answer(500), Answer(200)]   # then 200 for ever
        receiver.got[0].headers["webhook-id"]

It may drip, hang, redirect, or never end its body; with `tls` it speaks HTTPS.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_BODY_BYTES_MAX = 1_000_000
_GIVE_UP_SECONDS = 60.0


@dataclass
class Answer:
    """What to answer. `drip` bytes are sent one by one, a second apart; `hang` answers nothing;
    `endless` goes on sending a body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    wait_seconds: float = 0.0
    drip: bytes = b""
    hang: bool = False
    endless: bool = False


@dataclass
class Got:
    path: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None
    at: float


class Receiver:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[Got] = []
        self.answers: list[Answer] = []
        self.bytes_sent = 0
        self.names: list[str | None] = []  # what TLS was asked for
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/hooks"

    def url_for(self, name: str) -> str:
        return f"{self._scheme}://{name}:{self.port}/hooks"

    def wait_for(self, count: int, seconds: float = 15.0) -> list[Got]:
        deadline = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.got

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        told = self.answers.pop(0) if self.answers else Answer()
        if told.hang:
            self._over.wait(_GIVE_UP_SECONDS)
            return
        self._over.wait(told.wait_seconds)
        for byte in told.drip:
            self._send(handler, bytes([byte]))
            self._over.wait(1.0)
        if told.drip:
            return
        head = {"Content-Length": str(len(told.body)), "Content-Type": "text/plain"}
        if told.endless:
            head = {"Content-Type": "text/plain"}
        handler.send_response(told.status)
        for name, value in (head | told.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        self._send(handler, told.body)
        while told.endless and not self._over.is_set():
            self._send(handler, b"x" * 65_536)

    def _send(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.wfile.write(data)
        handler.wfile.flush()
        self.bytes_sent += len(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _GIVE_UP_SECONDS

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", 0)), _BODY_BYTES_MAX)
        body = self.rfile.read(length)
        server = self.server
        assert isinstance(server, _Server)
        receiver = server.receiver
        name = receiver.names[-1] if receiver.names else None
        headers = {key.lower(): value for key, value in self.headers.items()}
        receiver.got.append(Got(self.path, headers, body, name, time.monotonic()))
        self.close_connection = True
        with suppress(OSError):
            receiver.answer(self)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """What arrived stands in `got`."""


def ids(got: Iterable[Got]) -> list[str]:
    return [one.headers["webhook-id"] for one in got]
