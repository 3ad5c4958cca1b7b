"""HTTP/1.1 as the gateway takes it: uvicorn's httptools protocol, with bounds on a request's head.

Bodies have their bounds in `gateway.requests`. A head that comes whole in one read, which is
every honest one, costs no timer.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS = 10.0
# The parser also takes 0.9, which has no headers, and 2.0, which is not this protocol at all.
_VERSIONS = frozenset({"1.0", "1.1"})
_CLOSE = (b"connection", b"close")


def write_at_once(send: Any, data: bytes) -> bool:
    """Write more of an answer that has begun and is not ended, as this server's `send` would,
    but without a message and a wait. False where `send` must be asked: the client reads slowly
    or is gone, or the server is another."""
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        return False
    if cycle.flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
        return False
    cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
    return True


def answer_at_once(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
    """Send a whole answer, as this server's `send` would with its two messages, but in one
    system call. The headers are the gateway's own: valid, and with the body's length. False as
    above."""
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        return False
    if cycle.flow.write_paused or cycle.disconnected or cycle.response_started:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    if _CLOSE in headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        headers = [*headers, _CLOSE]
    lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
    head = b"%b%b\r\n" % (STATUS_LINE[status], b"".join(lines))
    cycle.transport.writelines([head] if cycle.scope["method"] == "HEAD" else [head, body])
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def tell_when_gone(send: Any, callback: Callable[[], None] | None) -> bool:
    """From now on, `callback` is called when this client's connection is lost, at once where it
    is already; None ends that. No task has to wait for it. False where the server is another."""
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle):
        return False
    connection = getattr(cycle.on_response, "__self__", None)
    if not isinstance(connection, BoundedProtocol):
        return False
    connection.on_gone = callback
    if callback is not None and connection.transport.is_closing():
        callback()
    return True


class Refusal(NamedTuple):
    """Why a head is not taken, as the envelope says it."""

    status: int
    code: str
    message: str


_MALFORMED = Refusal(400, "malformed_request", "This is not an HTTP/1.1 request.")
_TOO_LARGE = Refusal(
    431,
    "head_too_large",
    f"The request's head exceeds {HEADERS_MAX} headers or {HEAD_BYTES_MAX:,} bytes.",
)
_TOO_SLOW = Refusal(408, "request_timeout", "The request's head did not arrive in time.")


class BoundedProtocol(HttpToolsProtocol):
    """One client's connection. A head past a bound is answered in the envelope, and cut off."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_in_head = False
        self._head_bytes = 0  # of the head being read; of whole reads, so never too few
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal = _MALFORMED
        self.on_gone: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._cut_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    def data_received(self, data: bytes) -> None:
        # What follows a refusal is of no interest, and must not be parsed.
        if self.transport.is_closing():
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(_TOO_LARGE)
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._cut_slow_head)

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer, after a chunked body, is read by nothing here.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._head_timer is not None:
            self._stop_timer()
        if len(self.headers) > HEADERS_MAX or (
            self._head_bytes > HEAD_BYTES_MAX and self._measure() > HEAD_BYTES_MAX
        ):
            # The parser gives up at an exception, and the server then asks for the 400.
            self._refusal = _TOO_LARGE
            raise ValueError(_TOO_LARGE.message)
        if self.parser.get_http_version() not in _VERSIONS:
            raise ValueError(_MALFORMED.message)
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0  # of the body
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The server calls this for whatever its parser does not take."""
        self._refuse(self._refusal)

    def _measure(self) -> int:
        """The head's bytes, as it stood on the wire or a few less."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _cut_slow_head(self) -> None:
        self._head_timer = None
        self._refuse(_TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and hang up. Where an earlier answer is still under way, only hang up."""
        if self.transport.is_closing():
            return
        self._is_in_head = False
        if self.cycle is None or self.cycle.response_complete:
            status, code, message = refusal
            # The server chooses its protocol before it loads Django, which the errors need.
            from gateway.errors import INVALID, ApiError

            body = ApiError(status, INVALID, message, None, code).envelope()
            self.transport.write(
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                "content-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
        self.transport.close()
