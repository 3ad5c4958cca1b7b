"""Every way the rounds cut one answer: what the upstream plays, when the client leaves, and what
must then be charged."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.faults import answers
from tests.faults.answers import DONE, ERROR, GARBAGE, SHAPES, Shape, Told
from tests.faults.lines import Leave, Play, Then

_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = _STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n"
# Its body ends with the connection, so that cutting it looks like its end.
DELIMITED = _STREAM_HEAD + b"connection: close\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Ending(StrEnum):
    """Who cuts, and how. All but the client's own are the upstream's."""

    CLEAN = "body ends"
    DELIMITED = "connection ends the body"
    CLOSE = "connection closed"
    RESET = "connection reset"
    ERROR = "error event"
    GARBAGE = "event that is not JSON"
    DONE = "[DONE] too early"
    GONE = "client gone"
    RACING = "client gone while it streams"
    WIRE = "cut inside HTTP's own framing"
    WHOLE = "whole answer cut"
    WHOLE_GONE = "client gone from a whole answer"


@dataclass(frozen=True)
class Cut:
    """One answer cut in one place: after `at` events, or after `at` bytes where `in_bytes`."""

    shape: Shape
    ending: Ending
    at: int
    in_bytes: bool = False
    leave: Leave = Leave.CLOSE

    @property
    def is_stream(self) -> bool:
        return self.ending not in (Ending.WHOLE, Ending.WHOLE_GONE)

    @property
    def is_by_client(self) -> bool:
        return self.ending in (Ending.GONE, Ending.RACING, Ending.WHOLE_GONE)

    def body(self) -> bytes:
        """What the upstream puts into the body before it ends it."""
        if not self.is_stream:
            return self.shape.whole()
        whole = self.shape.events()
        cut = b"".join(whole)[: self.at] if self.in_bytes else b"".join(whole[: self.at])
        own = {Ending.ERROR: ERROR, Ending.GARBAGE: GARBAGE, Ending.DONE: DONE}
        return cut + own.get(self.ending, b"")

    def play(self, seed: random.Random) -> Play:
        body = self.body()
        match self.ending:
            case Ending.WHOLE:
                return Play((_whole_reply(body)[: self.at],), seed.choice((Then.CLOSE, Then.RESET)))
            case Ending.WHOLE_GONE:
                return Play((_whole_reply(body)[: self.at],), Then.WAIT)
            case Ending.WIRE:
                wire = CHUNKED + b"".join(map(chunk, self.shape.events())) + LAST_CHUNK
                return Play((wire[: self.at],), Then.CLOSE)
            case Ending.RACING:
                events = [chunk(event) for event in self.shape.events()]
                return Play((CHUNKED, *events[:-1], events[-1] + LAST_CHUNK), Then.WAIT, 0.004)
            case Ending.GONE:
                return Play((CHUNKED, *_in_chunks(body, seed)), Then.WAIT)
            case Ending.DELIMITED:
                return Play((DELIMITED, body), Then.CLOSE)
            case Ending.CLOSE:
                return Play((CHUNKED, *_in_chunks(body, seed)), Then.CLOSE)
            case Ending.RESET:
                return Play((CHUNKED, *_in_chunks(body, seed)), Then.RESET)
            case _:
                return Play((CHUNKED, *_in_chunks(body, seed), LAST_CHUNK), Then.WAIT)

    def told(self) -> Told:
        """What of it can have reached the gateway."""
        if self.ending is Ending.WIRE:
            wire = CHUNKED
            body = b""
            for event in self.shape.events():
                head = len(wire) + len(chunk(event)) - len(event) - 2
                body += event[: max(0, self.at - head)]
                wire += chunk(event)
            return answers.read(body, is_orderly=self.at >= len(wire) + len(LAST_CHUNK))
        orderly = self.ending not in (Ending.CLOSE, Ending.RESET)
        return answers.read(self.body(), is_orderly=orderly)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole_reply_bytes(shape: Shape) -> int:
    return len(_whole_reply(shape.whole()))


def _whole_reply(body: bytes) -> bytes:
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def _in_chunks(body: bytes, seed: random.Random) -> list[bytes]:
    """The body in HTTP chunks that end anywhere: most often where an event does."""
    if not body:
        return []
    if seed.random() < 0.7:
        ends = list(itertools.accumulate(len(part) + 2 for part in body.split(b"\n\n")))
        ends = [end for end in ends if end < len(body)]
    else:
        ends = sorted(seed.sample(range(1, len(body)), min(4, len(body) - 1)))
    starts = [0, *ends]
    return [chunk(body[start:end]) for start, end in zip(starts, [*ends, len(body)], strict=True)]


_BY_EVENT = (
    Ending.CLEAN, Ending.DELIMITED, Ending.CLOSE, Ending.RESET, Ending.ERROR, Ending.GARBAGE,
    Ending.DONE,
)  # fmt: skip
_BY_BYTE = (Ending.CLEAN, Ending.DELIMITED, Ending.CLOSE, Ending.RESET)


def every(count: int, seed: int) -> list[Cut]:
    """`count` cuts: each ending at each event first, then at each byte; a sample where that is
    more than asked for, and the same again elsewhere where it is less."""
    chance = random.Random(seed)
    found = [*_at_events(), *_of_wholes(chance)]
    bytewise = list(_at_bytes(chance))
    chance.shuffle(bytewise)
    if len(found) > count * 3 // 4:
        found = chance.sample(found, count * 3 // 4)
    found += bytewise[: count - len(found)]
    while len(found) < count:
        found.append(_racing(chance))
    chance.shuffle(found)
    return found


def _at_events() -> Iterator[Cut]:
    for shape in SHAPES:
        for at in range(len(shape.events()) + 1):
            for ending in _BY_EVENT:
                yield Cut(shape, ending, at)
            # After [DONE] nobody can leave in the middle any more.
            if at < len(shape.events()):
                for leave in Leave:
                    yield Cut(shape, Ending.GONE, at, leave=leave)


def _at_bytes(chance: random.Random) -> Iterator[Cut]:
    for shape in SHAPES:
        endings = itertools.cycle(_BY_BYTE)
        for at in range(1, len(b"".join(shape.events()))):
            yield Cut(shape, next(endings), at, in_bytes=True)
    for shape in SHAPES[:3]:
        wire = len(CHUNKED) + sum(len(chunk(one)) for one in shape.events()) + len(LAST_CHUNK)
        for at in range(wire):
            yield Cut(shape, Ending.WIRE, at, in_bytes=True)
    for _ in range(1_000):
        yield _racing(chance)


def _racing(chance: random.Random) -> Cut:
    shape = chance.choice(SHAPES)
    at = chance.randrange(1, 900)
    return Cut(shape, Ending.RACING, at, in_bytes=True, leave=chance.choice(list(Leave)))


def _of_wholes(chance: random.Random) -> Iterator[Cut]:
    for shape in SHAPES:
        size = whole_reply_bytes(shape)
        for at in {0, 1, 20, size // 2, size - 1, size, *chance.sample(range(size), 30)}:
            yield Cut(shape, Ending.WHOLE, at, in_bytes=True)
        for at in (0, size // 2, size):
            for leave in Leave:
                yield Cut(shape, Ending.WHOLE_GONE, at, in_bytes=True, leave=leave)


def leaving(cut: Cut) -> Callable[[bytes], bool]:
    """When the client has had enough. A client that waits to the end never has."""
    if cut.ending is Ending.RACING:
        return lambda received: len(received) >= cut.at + 500  # most of the head is never cut
    if cut.ending is Ending.GONE:
        told = cut.told()
        shown = told.shown if told.has_token else 0
        return lambda received: 0 < shown <= received.count(b"data: ")
    return lambda received: False
