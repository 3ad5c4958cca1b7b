"""A PostgreSQL and a Valkey of a round's own, to be killed, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.launcher import postgres, processes, valkey

PASSWORD = "secret"


def children(pid: int) -> list[int]:
    """The processes a process has started and that still run."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in path.read_text().split()]
    return found


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """These processes keep their sockets and do nothing."""
    _signal(signal.SIGSTOP, *pids)
    try:
        yield
    finally:
        _signal(signal.SIGCONT, *pids)


def _signal(sign: signal.Signals, *pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sign)


class Database:
    """One PostgreSQL, as its supervisor sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = postgres.start(folder, PASSWORD, None, lambda server: None)

    @property
    def url(self) -> str:
        return postgres.url(self._server, PASSWORD)

    @property
    def pids(self) -> list[int]:
        """The postmaster first: who is asked later has no time to clean up after the others."""
        pid = self._server["process"]["pid"]
        return [pid, *children(pid)]

    def kill(self) -> None:
        _signal(signal.SIGKILL, *self.pids)
        _wait_until_dead(self._server["process"])

    def start(self) -> None:
        """Where it was, with what it had."""
        port = self._server["port"]
        self._server = postgres.start(self._folder, PASSWORD, port, lambda server: None)
        assert self._server["port"] == port, "somebody took its port meanwhile"

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._server["home"], ignore_errors=True)


class Cache:
    """One Valkey. Nothing in it outlives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = valkey.start(folder, PASSWORD, None, lambda server: None)

    @property
    def url(self) -> str:
        return valkey.url(self._server, PASSWORD)

    @property
    def pids(self) -> list[int]:
        return [self._server["process"]["pid"]]

    def kill(self) -> None:
        _signal(signal.SIGKILL, *self.pids)
        _wait_until_dead(self._server["process"])

    def start(self) -> None:
        port = self._server["port"]
        self._server = valkey.start(self._folder, PASSWORD, port, lambda server: None)
        assert self._server["port"] == port, "somebody took its port meanwhile"

    def remove(self) -> None:
        self.kill()


def _wait_until_dead(known: processes.Record) -> None:
    deadline = time.monotonic() + 10
    while processes.alive(known):
        assert time.monotonic() < deadline, "it does not die"
        time.sleep(0.01)
