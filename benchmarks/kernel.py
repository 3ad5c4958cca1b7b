"""What the kernel knows: CPU time and memory of processes, cores, and the machine's facts."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROC = Path("/proc")


class Unsupported(Exception):
    """This system does not account as the benchmarks need it; says what is missing."""


def check() -> None:
    if not (PROC / "self/stat").exists():
        raise Unsupported("the benchmarks take CPU times from /proc, which only Linux has")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads and its children, living or reaped.

    The kernel's own accounting: it survives a busy machine better than wall time.
    """
    ticks = 0
    for each in (pid, *_children(pid)):
        try:
            fields = _stat(each)
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11 : 15 if each == pid else 13])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children; what they share is counted for each."""
    pages = 0
    for each in (pid, *_children(pid)):
        try:
            pages += int((PROC / str(each) / "statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def busy_seconds() -> float:
    """What all cores together have worked for anybody, since the system started."""
    fields = (PROC / "stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts = map(int, fields[:7])
    ticks = user + nice + system + interrupts + soft_interrupts
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in PROC.glob(f"{pid}/task/*/children"):
        try:
            for child in path.read_text().split():
                found += [int(child), *_children(int(child))]
        except OSError:
            continue
    return found


def _stat(pid: int) -> list[str]:
    # The command's name stands in parentheses and may itself hold spaces and parentheses.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def cores() -> tuple[int | None, int | None]:
    """The core for the gateway and the one for load and upstream; (None, None) with one core."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def pin(pid: int, core: int | None) -> None:
    """Before the process starts threads: they inherit it."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Whatever is started in the block begins on that core: a runtime that counts its cores at
    start counts one."""
    usable = os.sched_getaffinity(0)
    pin(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def machine(data: Path) -> dict[str, str | int | float]:
    """What absolute figures depend on."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "fsync_ms": round(_fsync_ms(data), 2),
    }


def _cpu_model() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fsync_ms(data: Path) -> float:
    """The median time of making 8 kB durable where the database lives."""
    path, times = data / "fsync-probe", []
    with path.open("wb", buffering=0) as file:
        for _ in range(30):
            file.write(b"\0" * 8192)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return statistics.median(times)
