"""Peers as processes: started on the gateway's core, proven to answer rightly, ended."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks import kernel, upstream
from benchmarks.peers import packages
from benchmarks.peers.catalog import CHAT, MODELS, Peer, Start
from config.launcher import ports
from config.launcher.supervisor import Child, Supervisor

START_SECONDS = 90.0
PROOF_SECONDS = 20.0
ANSWER_SECONDS = 10.0
DRAIN_SECONDS = 3.0
# A peer sees nothing of our own settings: some would take our database for theirs.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE")


class Running(msgspec.Struct, frozen=True):
    """A peer that answers rightly."""

    name: str
    pid: int
    port: int
    headers: dict[str, str]
    patience: float
    # Of all its processes, before any load but the proof.
    idle_bytes: int


class Wrong(Exception):
    """A peer did not do what it is to be measured at; the message says what came instead."""


@contextmanager
def running(
    peers: Sequence[Peer], data: Path, upstream_port: int, say: Callable[[str], None]
) -> Iterator[tuple[list[Running], dict[str, str]]]:
    """All of them at once, and why the others are missing, by name."""
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        begun = []
        for peer in peers:
            say(f"installing and starting {peer.name}")
            try:
                begun.append(stack.enter_context(_begun(peer, data / peer.name, upstream_port)))
            except (packages.Absent, OSError) as error:
                missing[peer.name] = f"not to be had on this machine: {error}"
        proven = []
        for peer, child, start, port in begun:
            try:
                _prove(peer, child, start, port, upstream_port)
            except (Wrong, OSError) as error:
                missing[peer.name] = f"excluded: {error}"
                continue
            assert child.process is not None
            pid = child.process.pid
            idle = kernel.resident_bytes(pid)
            proven.append(Running(peer.name, pid, port, start.headers, peer.patience, idle))
        yield proven, missing


@contextmanager
def _begun(
    peer: Peer, folder: Path, upstream_port: int
) -> Iterator[tuple[Peer, Child, Start, int]]:
    installed = peer.install()
    folder.mkdir(parents=True)
    port = ports.pick()
    start = peer.start(installed, folder, port, upstream_port)
    plain = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment = plain | {"HOME": str(folder)} | start.environment
    supervisor = Supervisor(environment, folder, lambda _: None, print)
    child = Child(peer.name, start.command, folder / "output.log", DRAIN_SECONDS)
    try:
        with kernel.pinned(kernel.cores()[0]):
            supervisor.start(child)
        yield peer, child, start, port
    finally:
        supervisor.drain((peer.name,), lambda: False)


def _prove(peer: Peer, child: Child, start: Start, port: int, upstream_port: int) -> None:
    """Wait until it serves; raises `Wrong` where it never does as it should."""
    deadline = time.monotonic() + START_SECONDS
    while not _listens(port):
        if not child.running() or time.monotonic() > deadline:
            last = child.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise Wrong(f"it did not start: {' '.join(last)[:200]}")
        time.sleep(0.1)
    if peer.prepare is not None:
        peer.prepare(port, upstream_port)
    deadline = time.monotonic() + PROOF_SECONDS
    while True:
        try:
            check(port, start.headers)
            return
        except (Wrong, OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline:
                raise Wrong(str(error)) from None
        time.sleep(0.25)


def check(port: int, headers: dict[str, str]) -> None:
    """The upstream's text comes through whole, and streamed to its end. Raises `Wrong`."""
    whole = _ask(port, headers, is_stream=False)
    if upstream.ANSWER not in whole:
        raise Wrong(f"not the upstream's text: {whole[:200]!r}")
    stream = _ask(port, headers, is_stream=True)
    if not stream.rstrip().endswith("data: [DONE]") or " word49" not in stream:
        raise Wrong(f"not the whole stream: …{stream[-200:]!r}")


def _ask(port: int, headers: dict[str, str], *, is_stream: bool) -> str:
    body: dict[str, object] = {
        "model": MODELS["50x0"],
        "messages": [{"role": "user", "content": "Where is my parcel?"}],
    }
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        sent = {"Content-Type": "application/json", **headers}
        connection.request("POST", CHAT, json.dumps(body), sent)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    if answer.status != 200:
        raise Wrong(f"status {answer.status}: {text[:200]!r}")
    return text


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
