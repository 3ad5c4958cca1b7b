"""Server-sent events, decoded as they arrive."""


class BrokenStream(Exception):
    """The bytes are not a stream of server-sent events, or one event exceeds its bound."""


class EventDecoder:
    """Feed it bytes, take whole `data` payloads. Comments, other fields and blank lines are
    passed over; all three line endings are understood."""

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer = b""
        self._is_after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads completed by `data`. Raises `BrokenStream` above the bound."""
        if self._is_after_cr and data:
            # The CR at the end of the last read may have been half of a CRLF.
            data = data.removeprefix(b"\n")
            self._is_after_cr = False
        if b"\r" in data:
            self._is_after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = self._buffer + data if self._buffer else data
        *blocks, self._buffer = buffer.split(b"\n\n")
        if len(self._buffer) > self._event_bytes_max:
            raise BrokenStream("an event exceeds its bound")
        out = []
        for block in blocks:
            payload = _payload(block)
            if payload is not None:
                out.append(payload)
        return out

    @property
    def is_between_events(self) -> bool:
        """Whether what comes next begins an event."""
        return not self._buffer and not self._is_after_cr

    @property
    def rest(self) -> bytes:
        """What stands after the last whole event."""
        return self._buffer.strip()


def _payload(block: bytes) -> bytes | None:
    if block.startswith(b"data:") and b"\n" not in block:
        return block[5:].strip()
    lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
