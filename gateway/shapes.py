"""Events that differ in nothing but their text, which is nearly all of a stream.

Such an event need not be taken apart and put together again: once one has been, the next ones
are recognized by the bytes around the text, and get the bytes around its translation. Whatever
is not exactly so goes the long way. tests/gateway/test_shapes.py holds the two ways together.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

# An unescaped quote ends a string wherever it stands, so what follows such a name is a string.
_TEXT = re.compile(
    rb'"(?:content|reasoning_content|reasoning|refusal|arguments)"\s*:\s*("(?:[^"\\]|\\.)+")'
)
# Longer ones carry more than a text, and are not kept.
EVENT_BYTES_MAX = 4096
# A text that no provider sends; where one does, nothing is learned from it.
_PROBE = "\ue000probe\ue001"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode
_PROBE_BYTES = _encode(_PROBE)


@dataclass(slots=True)
class Shape:
    """The bytes around an event's text, in the provider's stream and in the client's."""

    head: bytes
    tail: bytes
    client_head: bytes
    client_tail: bytes
    # The same around a whole event, as nearly every provider frames it.
    event_head: bytes
    event_tail: bytes
    is_used: bool = False

    def retell(self, event: bytes) -> tuple[str, bytes] | None:
        """The text of one whole event with its frame, and the client's bytes for it. None where
        it is not of this shape, or has no text."""
        head, tail = self.event_head, self.event_tail
        if not (event.startswith(head) and event.endswith(tail)):
            return None
        try:
            text = _decode(event[len(head) : -len(tail)])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not text:
            return None
        self.is_used = True
        return text, self.client_head + _encode(text) + self.client_tail

    def text_of(self, payload: bytes) -> str | None:
        """The text, where the event is of this shape. It is decoded as the whole event would
        be, so that what is no JSON string is no text."""
        if not (payload.startswith(self.head) and payload.endswith(self.tail)):
            return None
        return _string(payload[len(self.head) : -len(self.tail)])

    def frame(self, text: str) -> bytes:
        """The client's bytes for an event of this shape."""
        self.is_used = True
        return self.client_head + _encode(text) + self.client_tail


def learn(
    payload: bytes, text: str, translate: Callable[[bytes], tuple[bytes, list[str]]]
) -> Shape | None:
    """The shape of an event with one text, found by translating it with another text in its
    place: what stays is the shape. None where the text's place does not show."""
    if len(payload) > EVENT_BYTES_MAX:
        return None
    found = next((found for found in _TEXT.finditer(payload) if _string(found[1]) == text), None)
    if found is None:
        return None
    head, tail = payload[: found.start(1)], payload[found.end(1) :]
    data, texts = translate(head + _PROBE_BYTES + tail)
    if texts != [_PROBE] or data.count(_PROBE_BYTES) != 1:
        return None
    client_head, _, client_tail = data.partition(_PROBE_BYTES)
    return Shape(head, tail, client_head, client_tail, b"data: " + head, tail + b"\n\n")


def _string(token: bytes) -> str | None:
    try:
        return _decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
