"""Requests that two servers could read differently, or that never end, over raw sockets.

Behind every ambiguous one stands a whole valid request with a good key. Whoever mistakes where
the first one ends carries out the second, which the upstream's log then shows.
"""

from __future__ import annotations

import json
from random import Random

from benchmarks.goals import Verdict
from gateway.protocol import HEAD_BYTES_MAX, HEAD_SECONDS, HEADERS_MAX
from tests.faults.connections import Answer, Connection
from tests.faults.rounds import Effort
from tests.faults.targets import Target

COUNTS = {Effort.SHORT: 150, Effort.FULL: 3_000}
PIPELINES = {Effort.SHORT: 10, Effort.FULL: 200}
SLOW = {Effort.SHORT: 0, Effort.FULL: 60}
CLOSED_SECONDS = 5.0
SMUGGLED = "this must never arrive"

_CHUNKED = b"Transfer-Encoding: chunked"


def run(target: Target, effort: Effort, seed: int) -> list[Verdict]:
    rng = Random(f"framing {seed}")
    before = len(target.upstream.received)
    attacks = [_attack(rng, target.key) for _ in range(COUNTS[effort])]
    wrong = [line for attack in attacks if (line := _try(target, *attack))]
    orders = [line for _ in range(PIPELINES[effort]) if (line := _pipeline(target, rng))]
    slow = _slow(target, rng, SLOW[effort])
    forwarded = len(target.upstream.received) - before
    for line in [*wrong[:10], *orders[:10], *slow[:10]]:
        print(f"  {line}", flush=True)
    return [
        Verdict(
            "malformed inputs: ambiguous or broken framing, with a valid request smuggled in",
            f"a 4xx in the envelope or nothing, then closed within {CLOSED_SECONDS:g} s,"
            " 0 upstream calls",
            f"{len(attacks):,} sent, {len(wrong)} answered otherwise, {forwarded} upstream calls",
            not wrong and forwarded == 0,
        ),
        Verdict(
            "pipelined requests",
            "answered in order, each once",
            f"{PIPELINES[effort]} pipelines, {len(orders)} out of order",
            not orders,
        ),
        *_of_slow(slow, SLOW[effort]),
    ]


def _of_slow(wrong: list[str], count: int) -> list[Verdict]:
    if not count:
        return []  # the suite has tests of its own for these, and they take seconds
    return [
        Verdict(
            "malformed inputs: heads and bodies that trickle, stop or half-close",
            "cut within their bounds",
            f"{count} connections, {len(wrong)} not cut",
            not wrong,
        )
    ]


def _try(target: Target, name: str, data: bytes) -> str:
    """What went wrong, or nothing."""
    with Connection(target.address) as connection:
        connection.send(data)
        answers, is_closed = connection.answers(seconds=CLOSED_SECONDS)
    if not is_closed:
        return f"{name}: still open after {CLOSED_SECONDS:g} s: {answers!r:.300} to {data[:300]!r}"
    if len(answers) > 1 or not all(_is_refusal(answer) for answer in answers):
        return f"{name}: {answers!r:.600} to {data[:300]!r}"
    return ""


def _is_refusal(answer: Answer) -> bool:
    return 400 <= answer.status < 500 and answer.is_last and answer.error is not None


# --- ambiguous and broken -----------------------------------------------------------------------


def _smuggled(key: str) -> bytes:
    content = [{"role": "user", "content": SMUGGLED}]
    body = json.dumps({"model": "qwen-plus", "messages": content, "max_tokens": 5}).encode()
    return _head(key, b"Content-Length: %d" % len(body)) + body


def _head(key: str, *lines: bytes, first: bytes = b"POST /v1/chat/completions HTTP/1.1") -> bytes:
    known = [b"Host: localhost", b"Authorization: Bearer " + key.encode()]
    return b"\r\n".join([first, *known, *lines]) + b"\r\n\r\n"


def _attack(rng: Random, key: str) -> tuple[str, bytes]:
    kind = rng.choice((_two_lengths, _odd_coding, _odd_length, _bad_chunk, _bad_header, _bad_line,
                       _other_protocol, _too_much))  # fmt: skip
    return kind.__name__.strip("_"), kind(rng, key) + _smuggled(key)


def _two_lengths(rng: Random, key: str) -> bytes:
    length = b"Content-Length: %d" % rng.randrange(100)
    pair = rng.choice(
        [
            [length, _CHUNKED],
            [length, b"Content-Length: 4%d" % rng.randrange(100)],
            [length, b"transfer-ENCODING:\tchunked "],
            [b"Content-Length: 5, 6"],
            [b"Content-Length: 5,5"],
            [length, b"X: y", b"content-length: 777"],
        ]
    )
    rng.shuffle(pair)
    return _head(key, *pair) + b"0\r\n\r\n"


def _odd_coding(rng: Random, key: str) -> bytes:
    coding = rng.choice(
        [b"xchunked", b"chunked, identity", b"identity", b"gzip", b'"chunked"', b"chunked;q=1",
         b"chunked\x00", b"\x0bchunked", b"chunked, gzip", b"chunke", b"chunked x", b"deflate",
         b"\xefchunked", b"chunked,"]
    )  # fmt: skip
    lines = [b"Transfer-Encoding: " + coding]
    if rng.random() < 0.5:
        lines.insert(rng.randrange(2), b"Content-Length: 5")
    return _head(key, *lines) + b"0\r\n\r\n"


def _odd_length(rng: Random, key: str) -> bytes:
    value = rng.choice(
        [b"+5", b"-1", b"-0", b"0x5", b"5 5", b"1e1", b"5.0", "５".encode(), b"5;", b"5\x00",
         b"99999999999999999999", b"18446744073709551621", b"five", b"5\x0b", b"5x", b"5-", b"_5"]
    )  # fmt: skip
    return _head(key, b"Content-Length: " + value) + b"{}{}{}"


def _bad_chunk(rng: Random, key: str) -> bytes:
    size = rng.choice(
        [b"-1", b"+5", b"0x5", b"5g", b"G", b"f" * 17, b" 5", b"", b"5\x00", b"\xff", b"5,5", b"_5",
         b"5\n", b";", b"\t5"]
    )  # fmt: skip
    body = rng.choice(
        [
            size + b"\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",  # longer than it says
            b"5\r\nhello0\r\n\r\n",  # no end of line after the data
            b"2\r\n{}\r\n" + size + b"\r\nhello\r\n0\r\n\r\n",
        ]
    )
    return _head(key, _CHUNKED) + body


def _bad_header(rng: Random, key: str) -> bytes:
    line = rng.choice(
        [b"X-Long: one\r\n and two", b"X-Space : one", b"X-Zero: a\x00b", b"X-No-Colon", b": empty",
         b"X-Bare: a\nContent-Length: 5", b"X-Bare: a\rContent-Length: 5", b"X(y): z", b"X\x7f: y",
         b" Leading: x", b"Content-Length : 5", b"Transfer-Encoding : chunked", b"X\xe9: y",
         b"Content-Length\x00: 5", b"Content-Length:\r\n 5", b"X-Bell: a\x07b", b"\x00"]
    )  # fmt: skip
    return _head(key, line, b"X: y") if rng.random() < 0.5 else _head(key, b"X: y", line, b"Z: y")


def _bad_line(rng: Random, key: str) -> bytes:
    line = rng.choice(
        [b"GET /v1/models", b"GET /v1/models HTTP/9.9", b"GET /v1/models HTTP/0.9", b"GET",
         b"GET /v1/models HTTP/2.0", b"GET /v1/models HTTP/1.2", b"GET /v1/models HTTP/3.0",
         b"GET /v1/models HTTP/1.1 x", b"get /v1/models HTTP/1.1", b"G\xc9T /v1/models HTTP/1.1",
         b"BREW /v1/models HTTP/1.1", b"GET /v1/\x00models HTTP/1.1", b"/v1/models HTTP/1.1",
         b"GET /v1/models HTTP/1.1\x00", b"GET /v1/models http/1.1", b"GET /v1/models HTTP/11",
         b"GET /v1/models HTTP 1.1", b"GET\t/v1/models\tHTTP/1.1", b"GET /v1/\x01models HTTP/1.1",
         b"GET /v1/models HTTP/1.1\r", b"GET  HTTP/1.1", b"GET v1/models HTTP/1.1"]
    )  # fmt: skip
    return _head(key, first=line)


def _other_protocol(rng: Random, key: str) -> bytes:
    return rng.choice(
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
         b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(64),
         b"SSH-2.0-OpenSSH_9.9\r\n", b"EHLO localhost\r\n", b"\x05\x01\x00", b"*1\r\n$4\r\nPING",
         b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", b"\r\n\r\n\x00", b"\x00" + rng.randbytes(100),
         b"\xff" + rng.randbytes(rng.randrange(1, 2_000)), b"GET /v1/models\r\n", b"RTSP/1.0\r\n"]
    )  # fmt: skip


def _too_much(rng: Random, key: str) -> bytes:
    many = [b"X-%d: 1" % number for number in range(HEADERS_MAX + rng.randrange(50))]
    long = b"a" * (HEAD_BYTES_MAX + rng.randrange(50_000))
    return rng.choice(
        [_head(key, *many), _head(key, b"X-Long: " + long), _head(key, long + b": x"),
         _head(key, first=b"GET /v1/" + long + b" HTTP/1.1"), _head(key, b"Cookie: " + long),
         _head(key, first=long + b" /v1/models HTTP/1.1")]
    )  # fmt: skip


# --- pipelines ----------------------------------------------------------------------------------


def _pipeline(target: Target, rng: Random) -> str:
    """Many requests in one packet, each answered with its own name in it, in their order."""
    names = [f"nobody-{rng.randrange(10**9)}" for _ in range(rng.randrange(2, 20))]
    body = b'{"model": "%s", "messages": [{"role": "user", "content": "x"}]}'
    data = b""
    for name in names:
        whole = body.replace(b"%s", name.encode())
        post = _head(target.key, b"Content-Length: %d" % len(whole)) + whole
        get = _head(target.key, first=b"GET /v1/models/" + name.encode() + b" HTTP/1.1")
        data += rng.choice((post, get))
    with Connection(target.address) as connection:
        connection.send(data)
        answers = [connection.answer() for _ in names]
    told = [(answer.error or {}).get("message", "") for answer in answers]
    return "" if all(map(str.__contains__, told, names)) else f"pipeline {names}: {told}"


# --- slow ones ----------------------------------------------------------------------------------


def _slow(target: Target, rng: Random, count: int) -> list[str]:
    """Connections that begin, stop, and must be hung up on in the bounds of head and body."""
    starts = [_unfinished(rng, target.key) for _ in range(count)]
    opened = [Connection(target.address) for _ in starts]
    for connection, (name, data) in zip(opened, starts, strict=True):
        connection.send(data)
        if name == "half-close":
            connection.socket.shutdown(1)
    wrong = []
    for connection, (name, data) in zip(opened, starts, strict=True):
        # One after the other: the first wait is the longest there may be.
        answers, is_closed = connection.answers(seconds=HEAD_SECONDS + 3)
        if not is_closed or not all(_is_refusal(answer) for answer in answers):
            wrong.append(f"{name}: {answers!r:.300}, closed {is_closed}, to {data[:200]!r}")
        connection.socket.close()
    return wrong


def _unfinished(rng: Random, key: str) -> tuple[str, bytes]:
    whole = _smuggled(key)
    head, _, body = whole.partition(b"\r\n\r\n")
    end = len(head) + 4
    return rng.choice(
        [
            ("nothing", b""),
            ("head", whole[: rng.randrange(1, end)]),
            ("body", whole[: rng.randrange(end, len(whole))]),
            ("half-close", whole[: rng.randrange(1, len(whole))]),
            ("chunk", _head(key, _CHUNKED) + b"5\r\nhel"),
            ("chunk extension", _head(key, _CHUNKED) + b"5;" + b"x" * 100_000),
            ("trailer", _head(key, _CHUNKED) + b"2\r\n{}\r\n0\r\nX: " + b"y" * 100_000),
            ("length that lies", _head(key, b"Content-Length: 100000") + body),
        ]
    )
