"""The product's own processes: started, restarted when they die, drained at the end."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config.launcher import processes

RESTARTS_MAX = 8  # in a row; a child that stayed up longer than STEADY_SECONDS starts anew
STEADY_SECONDS = 60.0
BACKOFF_SECONDS_MAX = 15.0
LOG_BYTES_MAX = 10 * 1024 * 1024  # per file, and as much again in its one predecessor

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


class GaveUp(Exception):
    """A child died too often."""

    def __init__(self, child: Child) -> None:
        super().__init__(f"{child.name} died {child.deaths} times in a row; see {child.log}")


@dataclass
class Child:
    """One process to keep running, and how long it may take to finish what it has begun."""

    name: str
    command: list[str]
    log: Path
    drain_seconds: float
    # What it is told beyond what all are told, and the signal that asks it to finish.
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    deaths: int = 0
    began_at: float = 0.0
    restart_at: float = 0.0
    is_leaving: bool = False

    def start(self, environment: dict[str, str], folder: Path) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=environment | self.environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C goes to the launcher only
                preexec_fn=partial(_end_with_parent, self.stop_signal) if _libc else None,
            )
        self.began_at = time.monotonic()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def note_death(self) -> float:
        """Count the death, and return the seconds to wait before the next start."""
        if time.monotonic() - self.began_at > STEADY_SECONDS:
            self.deaths = 0
        self.deaths += 1
        if self.deaths > RESTARTS_MAX:
            raise GaveUp(self)
        seconds = min(math.ldexp(0.5, self.deaths - 1), BACKOFF_SECONDS_MAX)
        self.restart_at = time.monotonic() + seconds
        return seconds


class Supervisor:
    """Keeps children running on one environment. `changed` is told their pids after each start."""

    def __init__(
        self,
        environment: dict[str, str],
        folder: Path,
        changed: Callable[[dict[str, processes.Record]], None],
        say: Callable[[str], None],
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._changed = changed
        self._say = say
        self.children: list[Child] = []

    def start(self, child: Child) -> None:
        self.children.append(child)
        self._start(child)

    def tend(self) -> None:
        """Restart what has died, once its wait is over. Raises `GaveUp`."""
        for child in self.children:
            if child.is_leaving or child.running():
                continue
            if child.process is not None:
                status = child.process.returncode
                _end_group(child.process.pid)
                child.process = None
                seconds = child.note_death()
                self._say(f"{child.name} ended ({status}); starting it again in {seconds:g} s")
            elif time.monotonic() >= child.restart_at:
                self._start(child)
        bound_logs({child.log.parent for child in self.children})

    def drain(self, names: tuple[str, ...], hurried: Callable[[], bool]) -> None:
        """Ask these children to finish and wait for them; `hurried` cuts the wait short."""
        chosen = [child for child in self.children if child.name in names and child.running()]
        for child in chosen:
            assert child.process is not None
            child.is_leaving = True
            child.process.send_signal(child.stop_signal)
        for child in chosen:
            assert child.process is not None
            deadline = time.monotonic() + child.drain_seconds
            while child.running() and time.monotonic() < deadline and not hurried():
                time.sleep(0.02)
            _end_group(child.process.pid)
            child.process.wait()
        self.children = [child for child in self.children if child.name not in names]

    def _start(self, child: Child) -> None:
        child.start(self._environment, self._folder)
        running = [each for each in self.children if each.process is not None]
        self._changed({each.name: processes.record(_pid(each)) for each in running})


def bound_logs(folders: set[Path]) -> None:
    """Move what a log has beyond its bound to one predecessor; writers append, so they go on."""
    for log in (path for folder in folders for path in folder.glob("*.log")):
        if log.stat().st_size > LOG_BYTES_MAX:
            predecessor = log.with_suffix(".log.1")
            predecessor.write_bytes(log.read_bytes())
            os.truncate(log, 0)


def _pid(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


def _end_group(leader: int) -> None:
    """End what a child may have left behind: its pool processes share its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _end_with_parent(sign: signal.Signals) -> None:
    """Should the launcher be killed, the system tells its children (second to the pid records)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, sign)
