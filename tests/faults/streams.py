"""Clients for rounds that need many: whole answers, streams, and connections slow on purpose."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.journeys.callers import payload
from tests.scripts import Script

MODEL = "qwen-turbo"
# A body and an answer that fill every buffer on the way, and are within the plan's bound.
SLOW_CHARACTERS = 3_900_000
# How slow connections ended: their kind, and what the gateway had said by then.
SEEN: Counter[tuple[str, str]] = Counter()


def session(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(120),
        headers={"Authorization": f"Bearer {key}"},
    )


async def ask(http: aiohttp.ClientSession, url: str, script: Script, *, stream: bool) -> bool:
    """Whether one answer came whole; what came instead is printed."""
    body = payload(script, MODEL, stream=stream, max_tokens=100)
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        data = await answer.read()
        is_whole = answer.status == 200 and (not stream or b"[DONE]" in data)
        if not is_whole:
            print(f"answered {answer.status}: {data[-300:]!r}")
        return is_whole


async def begin_and_leave(http: aiohttp.ClientSession, url: str, script: Script) -> None:
    """A stream whose client hangs up after the first chunk."""
    body = payload(script, MODEL, stream=True, max_tokens=100)
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        await answer.content.readline()
        answer.close()


async def slow(url: str, key: str, kind: str, stop: asyncio.Event) -> None:
    """One connection that sends or reads next to nothing until it is told to stop: again and
    again, for the gateway hangs up on such."""
    at = urlsplit(url)
    body = json.dumps(
        payload(Script(text="x" * SLOW_CHARACTERS, chunks=40), MODEL, stream=True)
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    whole = {"head": head, "body": head + body[:20], "reader": head + body}[kind]
    while not stop.is_set():
        reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=1024)
        try:
            writer.write(whole if kind != "head" else whole[:10])
            for byte in whole[10:] if kind == "head" else b"x" * 10_000:
                if stop.is_set() or reader.at_eof() or writer.is_closing():
                    break
                if kind == "body" or kind == "head":
                    writer.write(bytes([byte]))
                await asyncio.sleep(0.5)
            SEEN[kind, _told(reader)] += 1
        except OSError:
            pass
        finally:
            writer.close()


def _told(reader: asyncio.StreamReader) -> str:
    """How the gateway's answer begins, as far as it has come: its status and its error's code."""
    text = bytes(reader._buffer).decode(errors="replace")  # type: ignore[attr-defined]
    code = re.search(r'"code":\s*"(\w+)"', text)
    return f"{text[9:12]} {code[1] if code else ''}".strip() or "nothing"


def metrics(url: str) -> dict[str, float]:
    """Plain gauges, by name."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    plain = [line.split() for line in lines if not line.startswith("#") and "{" not in line]
    return {name: float(value) for name, value in plain}


def sockets(pid: int) -> int:
    """How many sockets a process holds open."""
    found = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += path.readlink().name.startswith("socket:")
        except OSError:
            continue
    return found


def quantile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


async def timed(http: aiohttp.ClientSession, url: str, seconds: float) -> list[float]:
    """Seconds that healthy requests took, one after the other, for this long."""
    out: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        assert await ask(http, url, Script(chunks=2), stream=False)
        out.append(time.perf_counter() - began)
    return out
