"""A gateway whose wall clock can be set: `python -m tests.faults.skewed …` as config.serve.

Its seconds from the true time are in the file that `FAULTS_CLOCK` names. What the gateway reads
of the wall clock is replaced where it reads it; the monotonic clock runs on, as the system's does
when somebody sets the time.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_CLOCK"
# Every module on a request's path that asks what time it is.
_READERS = {
    "datetime": ("gateway.requests", "gateway.principals", "billing.group_commit",
                 "billing.careful"),
    "time": ("billing.ids",),
}  # fmt: skip


def offset_seconds() -> float:
    return float(Path(os.environ[VARIABLE]).read_text() or 0)


class _Datetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        """A plain datetime, which is what databases and JSON know."""
        return datetime.fromtimestamp(time.time() + offset_seconds(), tz)


class _Time:
    """The module `time`, with another idea of the date."""

    def time(self) -> float:
        return time.time() + offset_seconds()

    def time_ns(self) -> int:
        return time.time_ns() + int(offset_seconds() * 10**9)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def main() -> int:
    importlib.import_module("config.asgi")  # everything a gateway is made of
    replacements = {"datetime": _Datetime, "time": _Time()}
    for name, modules in _READERS.items():
        for module in modules:
            loaded = importlib.import_module(module)
            assert hasattr(loaded, name), f"{module} no longer reads {name}"
            setattr(loaded, name, replacements[name])
    from config import serve

    return serve.main()


if __name__ == "__main__":
    sys.exit(main())
