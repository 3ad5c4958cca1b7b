"""A scripted upstream that answers from prebuilt bytes: `python -m benchmarks.upstream PORT`.

What it answers stands in the path: `/50x20/v1/chat/completions` streams 50 tokens, one every
20 ms (0: as fast as it can be written, each event in a write of its own, as a real provider
sends them); a path that says nothing leaves it to the end of the model's name, `scripted-50x20`.
Without `"stream": true` in the body it answers whole. Ends when stdin does.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import sys
from typing import Any, cast

from benchmarks.wire import END_OF_HEAD, LAST_CHUNK, RequestReader

_SCRIPT = re.compile(rb"/(\d+)x(\d+)/")
_SCRIPT_OF_MODEL = re.compile(rb'"model": ?"[^"]*?(\d+)x(\d+)"')
_STREAM = re.compile(rb'"stream": ?true')
_USAGE = re.compile(rb'"include_usage": ?true')
_FACTS = {
    "id": "chatcmpl-scripted00000000000000",
    "created": 1_780_000_000,
    "model": "scripted",
}
ANSWER = (
    "Your order left our warehouse on Monday and was scanned at the regional depot that evening. "
    "Nothing has been reported since, which mostly means that a container waits for its lorry. "
    "If it has not moved by tomorrow noon, write to us again and we will send a second parcel at "
    "once, without waiting for the first to be found."
)
PROMPT_TOKENS = 128
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def whole_reply() -> bytes:
    """A complete, non-streamed reply with its head."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": ANSWER, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    body = {**_FACTS, "object": "chat.completion", "choices": [choice], "usage": _usage(64)}
    data = _json(body)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d" % len(data)
    return head + END_OF_HEAD + data


@functools.cache
def stream_events(tokens: int, *, with_usage: bool) -> list[bytes]:
    """A stream's events in HTTP chunks: one per token, then the end as one write."""
    events = []
    for index in range(tokens):
        delta: dict[str, Any] = {"role": "assistant"} if index == 0 else {}
        events.append(_event([_choice({**delta, "content": f" word{index}"}, None)]))
    end = _event([_choice({}, "stop")])
    if with_usage:
        end += _event([], usage=_usage(tokens))
    return [*events, end + _chunk(b"data: [DONE]\n\n") + LAST_CHUNK]


def _choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {**_FACTS, "object": "chat.completion.chunk", "choices": choices, **more}
    return _chunk(b"data: " + _json(body) + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _usage(completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion,
        "total_tokens": PROMPT_TOKENS + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Upstream(asyncio.Protocol):
    """One connection."""

    _whole = whole_reply()

    def __init__(self) -> None:
        self._reader = RequestReader()
        self._transport: asyncio.Transport
        self._descriptor = -1
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._descriptor = transport.get_extra_info("socket").fileno()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        request = self._reader.feed(data)
        if request is None:
            return
        head, body = request
        if not _STREAM.search(body):
            self._transport.write(self._whole)
            return
        found = _SCRIPT.search(head, 0, head.find(b"\r\n")) or _SCRIPT_OF_MODEL.search(body)
        tokens, gap_ms = (int(found[1]), int(found[2])) if found else (50, 0)
        events = stream_events(tokens, with_usage=_USAGE.search(body) is not None)
        if gap_ms:
            self._transport.write(_STREAM_HEAD)
            loop = asyncio.get_running_loop()
            self._pace(events, 0, gap_ms / 1000, loop.time(), loop)
        else:
            self._burst(events)

    def _burst(self, events: list[bytes]) -> None:
        """Every event in a write of its own: the loop would join them into one."""
        for index, data in enumerate((_STREAM_HEAD, *events)):
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:
                written = 0
            except OSError:
                return  # the client is gone; the loop will say so
            if written < len(data):
                rest = (_STREAM_HEAD, *events)[index + 1 :]
                self._transport.write(data[written:] + b"".join(rest))
                return

    def _pace(
        self,
        events: list[bytes],
        index: int,
        gap_seconds: float,
        began: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """On a fixed grid from the stream's beginning, so that lateness does not add up."""
        self._transport.write(events[index])
        index += 1
        if index < len(events):
            due = began + index * gap_seconds
            self._timer = loop.call_at(due, self._pace, events, index, gap_seconds, began, loop)


async def serve(port: int) -> asyncio.Server:
    """Listen on loopback; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)


async def _main(port: int) -> None:
    server = await serve(port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
