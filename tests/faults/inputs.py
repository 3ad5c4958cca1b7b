"""HTTP requests from a seed, byte by byte: valid ones, and ones wrong in body, head or address."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from random import Random

from accounts import keys
from tests.faults import bodies

CHAT = b"/v1/chat/completions"


@dataclass(frozen=True)
class Input:
    """One request as it goes over the wire, what is wrong with it, and how it may be answered."""

    wrong: str  # empty where nothing is
    data: bytes
    statuses: frozenset[int]
    is_head: bool = False  # answered without a body


def generate(rng: Random, key: str) -> Input:
    """Mostly bodies: they have the most ways to be wrong. One in fifty is valid."""
    chance = rng.random()
    if chance < 0.02:
        return Input("", _post(_good_head(key), _body(rng)), frozenset({200}))
    if chance < 0.62:
        wrong, body = bodies.broken(rng)
        return Input(f"body {wrong}", _post(_good_head(key), body), frozenset({400, 404}))
    if chance < 0.75:
        return _wrong_key(rng, key)
    if chance < 0.85:
        return _wrong_media(rng, key)
    return _wrong_address(rng, key)


def _body(rng: Random) -> bytes:
    return json.dumps(bodies.valid(rng)).encode()


def _good_head(key: str) -> list[bytes]:
    return [b"Authorization: Bearer " + key.encode(), b"Content-Type: application/json"]


def _post(head: list[bytes], body: bytes, path: bytes = CHAT, method: bytes = b"POST") -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: localhost", *head]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body


def _wrong_key(rng: Random, key: str) -> Input:
    """A good body under no key, under half a one, and under well-formed ones that nobody has."""
    good, stranger = key.encode(), keys.generate().encode()
    wrong = [
        b"", b"Bearer", b"Bearer ", b"Bearer  \t", good, b"Basic " + good, b"Token " + good,
        b"Bearer:" + good, b"Bearer=" + good, b"Bearer" + good, b'Bearer "' + good + b'"',
        b"Bearer " + good[:-1], b"Bearer " + good + b"x", b"Bearer " + good.swapcase(),
        b"Bearer " + good + b" " + good, b"Bearer " + good + b"," + good, b"Bearer Bearer " + good,
        b"Bearer " + good.replace(b"_", b"-"), b"Bearer sk-" + good, b"Bearer " + good[::-1],
        b"Bearer " + good[:-1] + "é".encode(), b"Bearer " + good[:-1] + "１".encode(),
        b"Bearer " + b"x" * rng.randrange(1, 20_000), b"Bearer ' OR 1=1 --", b"Bearer null",
        b"Bearer " + rng.randbytes(40).hex().encode(), b"Bearer \xff\xfe\x80", b"Digest a=b",
        b"Bearer ${jndi:ldap://x}", b"Bearer %00" + good, b"Bearer " + good + b"%0d%0a",
        b"Bearer " + stranger, b"bearer " + stranger, b"Bearer " + stranger[:-1] + b"_",
    ]  # fmt: skip
    # Each from an address of its own: too many unknown keys from one are a 429.
    address = b"X-Forwarded-For: 10.%d.%d.%d" % (
        rng.randrange(256), rng.randrange(256), rng.randrange(256),
    )  # fmt: skip
    head = [b"Content-Type: application/json", address]
    if rng.random() < 0.97:
        head.append(b"Authorization: " + rng.choice(wrong))
    method, path = rng.choice([(b"POST", CHAT), (b"GET", b"/v1/models"), (b"GET", b"/v1/models/x")])
    data = _post(head, _body(rng) if method == b"POST" else b"", path, method)
    return Input("key", data, frozenset({401, 429}))


def _wrong_media(rng: Random, key: str) -> Input:
    """A body that says it is something else, or is packed."""
    head, body = _good_head(key)[:1], _body(rng)
    if rng.random() < 0.5:
        media = rng.choice(
            (b"text/plain", b"text/json", b"application/x-www-form-urlencoded", b"application/xml",
             b"multipart/form-data; boundary=x", b"application/jsonp", b"json", b"", b"*/*",
             b"application/json-seq", b"application/json+xml", b"application/ json", b"\xff/\xfe")
        )  # fmt: skip
        head.append(b"Content-Type: " + media)
    else:
        packed = rng.choice((gzip.compress(body), zlib.compress(body), body, b""))
        coding = rng.choice(
            (b"gzip", b"deflate", b"br", b"zstd", b"GZIP", b"gzip, gzip", b"identity, gzip",
             b"x-gzip", b"compress", b"aes128gcm", b"\xff", b"none")
        )  # fmt: skip
        head += [b"Content-Type: application/json", b"Content-Encoding: " + coding]
        body = packed
    return Input("media type", _post(head, body), frozenset({415}))


def _wrong_address(rng: Random, key: str) -> Input:
    """A path that is no route, a route's wrong method, or a model nobody has."""
    noise = "".join(rng.choices("abcXYZ09-_.~!$&'()*+,;=:@%/", k=rng.randrange(1, 60)))
    paths = [
        "/v1", "/v1/", "/v1//", "/v1/completions", "/v1/chat", "/v1/chat/completions/",
        "/v1/chat//completions", "/v1/Chat/Completions", "/v1/chat/completions%00",
        "/v1/chat%2fcompletions/x", "/v1/../admin/", "/v1/..%2f..%2fetc/passwd", "/v1/./models/x",
        "/v1/chat/completions;a=b", "/v1/%ff%fe", "/v1/%", "/v1/%zz", "/v1/" + "a" * 9_000,
        "/v1/" + "/" * 500, "/v1/models/" + noise, "/v1/models/" + "m" * 5_000, "/v1/" + noise,
        "/v1/models/../../admin/", "/v1/models/%00", "/v1/models/x?" + "q" * 4_000,
        "/v1/models/' OR 1=1", "/v1/embeddings", "/v1/assistants?limit=-1",
    ]  # fmt: skip
    if rng.random() < 0.6:
        path, methods = rng.choice(paths).replace(" ", "%20").encode(), [b"GET", b"POST", b"PUT",
            b"DELETE", b"PATCH", b"HEAD"]  # fmt: skip
        statuses = frozenset({404, 405})
    else:
        path, methods = rng.choice(
            [
                (CHAT, [b"GET", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"TRACE", b"PROPFIND"]),
                (b"/v1/models", [b"POST", b"PUT", b"PATCH", b"DELETE", b"LOCK", b"SEARCH"]),
                (b"/v1/models/qwen-plus", [b"POST", b"PUT", b"PATCH", b"DELETE", b"PURGE"]),
            ]
        )
        statuses = frozenset({405})
    method = rng.choice(methods)
    body = _body(rng) if rng.random() < 0.5 else b""
    data = _post(_good_head(key), body, path, method)
    return Input("address", data, statuses, is_head=method == b"HEAD")
