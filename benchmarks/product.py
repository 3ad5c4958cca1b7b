"""The product under test: a gateway on a throw-away data folder, its upstream, and the load.

Every process is on a leash: the gateway ends with its parent, upstream and load with their
stdin, the stores with the launcher that runs us.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import kernel
from benchmarks.load import Job, Result
from config import serve
from config.launcher import folder, ports
from config.launcher.supervisor import Child, Supervisor

READY_SECONDS = 60.0
SEED_SECONDS = 180.0
DRAIN_SECONDS = 15.0
PROOF_SECONDS = 120.0


class Broken(Exception):
    """The product could not be measured; the message says why."""


@dataclass
class Product:
    """What a run talks to. Ports are on loopback."""

    gateway_pid: int
    gateway_port: int
    upstream_port: int
    keys: list[str]
    database: dict[str, str]
    # By name: the processes whose CPU time is accounted.
    watched: dict[str, int]
    load: subprocess.Popen[str]

    def measure(self, job: Job) -> Result:
        """Carry out one job in the load generator's process."""
        send(self.load, job)
        return receive(self.load)


def send(load: subprocess.Popen[str], job: Job) -> None:
    """Have a load generator begin a job."""
    assert load.stdin is not None
    load.stdin.write(msgspec.json.encode(job).decode() + "\n")
    load.stdin.flush()


def receive(load: subprocess.Popen[str]) -> Result:
    """What its job measured, once it is over. Raises `Broken` where it ended instead."""
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line:
        raise Broken("the load generator ended; see above")
    return msgspec.json.decode(line, type=Result)


@contextmanager
def running(data: Path, organizations: int) -> Iterator[Product]:
    """Start everything on the stores the environment names; end everything after the block."""
    gateway_core, load_core = kernel.cores()
    with leashed("benchmarks.upstream", core=load_core) as upstream:
        upstream_port = int(first_line(upstream))
        seeded = _seed(upstream_port, organizations)
        with (
            gateway(data, core=gateway_core) as (pid, port),
            leashed("benchmarks.load", core=load_core) as load,
        ):
            watched = {"gateway": pid, "upstream": upstream.pid, **stores(data)}
            yield Product(
                pid, port, upstream_port, seeded["keys"], seeded["database"], watched, load
            )


@contextmanager
def gateway(
    data: Path, *, core: int | None, name: str = "gateway", more: Mapping[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """A gateway as `make run` starts it, in the environment with `more`: its pid and its port."""
    port = ports.pick()
    environment = {**os.environ, "TTONK_BASE_URL": f"http://127.0.0.1:{port}", **(more or {})}
    supervisor = Supervisor(environment, folder.PROJECT, lambda _: None, print)
    try:
        command = serve.command(port, drain_seconds=10)
        child = Child(name, command, data / "logs" / f"{name}.log", DRAIN_SECONDS)
        supervisor.start(child)
        assert child.process is not None
        kernel.pin(child.process.pid, core)
        _wait_until_ready(child, port)
        yield child.process.pid, port
    finally:
        supervisor.drain((name,), lambda: False)


def prove() -> dict[str, Any]:
    """`manage.py prove_ledger`'s answer: `ok`, and each check."""
    done = subprocess.run(
        [sys.executable, "manage.py", "prove_ledger", "--json"],
        cwd=folder.PROJECT, capture_output=True, text=True, timeout=PROOF_SECONDS, check=False,
    )  # fmt: skip
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Broken(f"prove_ledger failed:\n{done.stderr[-2000:]}") from None
    return answer


def stores(data: Path) -> dict[str, int]:
    """The private servers' processes, by name."""
    known = folder.read(data / "stores.json")
    return {name: known[name]["process"]["pid"] for name in ("postgres", "valkey")}


def _seed(upstream_port: int, organizations: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.seed", str(upstream_port), str(organizations)],
        cwd=folder.PROJECT, capture_output=True, text=True, timeout=SEED_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Broken(f"seeding failed:\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def leashed(module: str, *, core: int | None) -> Iterator[subprocess.Popen[str]]:
    """One of our own processes, which ends when its stdin does."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=folder.PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,  # the terminal's Ctrl-C is ours to answer
    )  # fmt: skip
    try:
        kernel.pin(process.pid, core)
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_line(process: subprocess.Popen[str]) -> str:
    """What a process says first. Raises `Broken` where it ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Broken("a process of the benchmarks did not start; see above")
    return line


def _wait_until_ready(child: Child, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(port):
        if not child.running() or time.monotonic() > deadline:
            raise Broken(f"the gateway did not start:\n{child.log.read_text()[-3000:]}")
        time.sleep(0.1)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            parts = json.loads(answer.read())
    except (urllib.error.URLError, OSError, ValueError):
        return False
    # Redis away is a degradation to the gateway, but not what is to be measured.
    return bool(parts.get("redis") == "ok")
