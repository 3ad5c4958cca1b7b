"""The steps of a start as a person sees them, and how Ctrl-C ends it between two of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from config.launcher import folder

STEP_SECONDS = 600.0


class Refused(Exception):
    """The product cannot start here; the message says why and what to do."""


class Stopped(Exception):
    """Ctrl-C or SIGTERM came while the product was starting."""


class Signals:
    """Counts requests to stop: the first drains, the second cuts. Never interrupts a step midway,
    so that no process is started without being written down."""

    def __init__(self) -> None:
        self.count = 0
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._note)

    def _note(self, *_: object) -> None:
        self.count += 1

    def check(self) -> None:
        if self.count:
            raise Stopped

    def hurried(self) -> bool:
        return self.count > 1


def say(line: str) -> None:
    print(f"== {line}", flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"== {what} …", end="", flush=True)
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.monotonic() - began:.1f} s", flush=True)


def manage(signals: Signals, environment: dict[str, str], what: str, *arguments: str) -> str:
    """Run a manage.py command and return its output; shown only when it fails."""
    signals.check()
    with step(what):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=environment,
            cwd=folder.PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            raise Refused(f"{what} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
