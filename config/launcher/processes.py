"""Processes that may outlive us: known by pid and start time, so that no stranger is ever ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TypedDict

PROC = Path("/proc")


class Record(TypedDict):
    """One process as written to disk. A recycled pid has another `started`."""

    pid: int
    started: str


def record(pid: int) -> Record:
    return {"pid": pid, "started": _start_token(pid) or ""}


def alive(known: Record | None) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    if not known or not known["started"]:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(known["pid"], os.WNOHANG)  # reap it, should it be a dead child of ours
    return _start_token(known["pid"]) == known["started"]


def end(known: Record | None, *steps: tuple[signal.Signals, float], group: bool = False) -> bool:
    """Send each signal and wait up to its seconds for the end; True when the process is gone.

    With `group`, the signal that cannot be refused goes to the whole process group.
    """
    for sign, seconds in steps:
        if known is None or not alive(known):
            return True
        try:
            if group and sign == signal.SIGKILL:
                os.killpg(known["pid"], sign)
            else:
                os.kill(known["pid"], sign)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and alive(known):
            time.sleep(0.02)
    return not alive(known)


def _start_token(pid: int) -> str | None:
    """A text that differs between two processes which had the same pid; None if there is none."""
    if (PROC / "self/stat").exists():
        try:
            # The command's name stands in parentheses and may itself hold spaces and parentheses.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not shown or shown.startswith("Z") else shown.partition(" ")[2].strip()
