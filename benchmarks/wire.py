"""HTTP/1.1 as far as a load generator and a scripted upstream need it, and no further.

Both speak only to each other and to the gateway, so what is not checked here is checked there:
no pipelining, no trailers, lengths given. Parsing that costs less is parsing that measures less
of itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

END_OF_HEAD = b"\r\n\r\n"
# Ends a chunked body. Cannot stand inside one of ours: JSON escapes every CR.
LAST_CHUNK = b"0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EVENT = b"data: "


def request_bytes(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """One POST, ready to be sent over a kept-alive connection again and again."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + END_OF_HEAD + body


class RequestReader:
    """Collects one request after the other from what a connection brings."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The request's head and body once both are there whole; None until then."""
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(END_OF_HEAD)
        if end < 0:
            return None
        head, begin = self._buffer[:end], end + len(END_OF_HEAD)
        if found := _LENGTH.search(head):
            whole = begin + int(found[1])
        elif _CHUNKED.search(head):
            # Sizes are left in the body: it is searched, not parsed.
            whole = self._buffer.find(LAST_CHUNK, begin) + len(LAST_CHUNK)
            if whole < begin:
                return None
        else:
            whole = begin
        if len(self._buffer) < whole:
            return None
        body = self._buffer[begin:whole]
        self._buffer = self._buffer[whole:]
        return head, body


class ReplyReader:
    """Reads one reply after the other; `feed` says when one is whole."""

    __slots__ = ("_head", "_left", "_tail", "events", "has_body", "is_done", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._head = b""
        self._left = -1  # bytes of the body still to come; -1 before the head, -2 while chunked
        self._tail = b""
        self.status = 0
        self.events = 0
        self.has_body = False
        # Whether a stream said `[DONE]`: one that did not was cut, however well it is framed.
        self.is_done = False

    def feed(self, data: bytes) -> bool:
        """Take what a read brought; True when the reply has come whole."""
        if self._left == -1:
            data = self._read_head(data)
            if self._left == -1:
                return False
        if data:
            self.has_body = True
        if self._left >= 0:
            self._left -= len(data)
            return self._left <= 0
        self.events += data.count(_EVENT)
        self._tail = (self._tail + data)[-64:] if len(data) < 64 else data[-64:]
        if not self._tail.endswith(LAST_CHUNK):
            return False
        self.is_done = b"[DONE]" in self._tail
        return True

    def _read_head(self, data: bytes) -> bytes:
        """Returns what came after the head."""
        self._head += data
        end = self._head.find(END_OF_HEAD)
        if end < 0:
            return b""
        head, rest = self._head[:end], self._head[end + len(END_OF_HEAD) :]
        self.status = int(head[9:12])
        found = _LENGTH.search(head)
        self._left = int(found[1]) if found else -2
        return rest
