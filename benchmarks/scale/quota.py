"""A share of a core for one process, by the kernel's own quota."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PERIOD_US = 10_000
_CGROUP = Path("/sys/fs/cgroup")


class Unavailable(Exception):
    """This system gives us no quotas (a control group we may write)."""


@contextmanager
def limited(pid: int, share: float) -> Iterator[None]:
    """`pid` and its threads get at most `share` of one core. Raises `Unavailable`."""
    is_first_version = (_CGROUP / "cpu" / "cpu.cfs_quota_us").exists()
    parent = _CGROUP / "cpu" if is_first_version else _CGROUP
    group = parent / f"ttonkapi-benchmark-{os.getpid()}-{pid}"
    quota = max(int(_PERIOD_US * share), 1_000)
    try:
        group.mkdir()
    except OSError as error:
        raise Unavailable(str(error)) from None
    try:
        try:
            if is_first_version:
                (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise Unavailable(str(error)) from None
        yield
    finally:
        _remove(group, parent)


def _remove(group: Path, parent: Path) -> None:
    """Its processes go back first; the kernel takes a moment to let go of the group."""
    with suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (parent / "cgroup.procs").write_text(pid)
    for _ in range(20):
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.05)
