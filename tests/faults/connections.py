"""Raw HTTP/1.1 over sockets, for what no honest client library would send."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import Any

import msgspec

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
Address = tuple[str, int]


class Broken(Exception):
    """The connection ended, or stayed silent, before an answer was whole."""


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    @property
    def is_last(self) -> bool:
        return b"\r\nconnection: close" in self.head.lower()

    @property
    def error(self) -> dict[str, Any] | None:
        """The error where the body is exactly OpenAI's envelope."""
        try:
            body = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        error = body.get("error") if isinstance(body, dict) and len(body) == 1 else None
        if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
            return None
        is_told = isinstance(error["message"], str) and isinstance(error["type"], str)
        return error if is_told else None


class Connection:
    """One connection. Every wait is bounded by `seconds`."""

    def __init__(self, address: Address, *, seconds: float = 10.0) -> None:
        self.socket = socket.create_connection(address, timeout=seconds)
        self._rest = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """As far as the other side takes it: what it answered to half of it can still be read."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answer(self, *, is_head: bool = False) -> Answer:
        """The next answer. Raises `Broken`."""
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            self._read()
        head, self._rest = self._rest[:end], self._rest[end + 4 :]
        found = _LENGTH.search(head)
        length = int(found[1]) if found and not is_head else 0
        while len(self._rest) < length:
            self._read()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(int(head[9:12]), head, body)

    def answers(self, *, seconds: float) -> tuple[list[Answer], bool]:
        """Every answer until the other side hangs up or `seconds` have passed, and whether it
        hung up."""
        found: list[Answer] = []
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                self.socket.settimeout(left)
                found.append(self.answer())
        except TimeoutError:
            return found, False
        except Broken:
            return found, True
        return found, False

    def _read(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Broken
        self._rest += data
