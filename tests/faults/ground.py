"""A whole product to be broken: two gateways, a worker, stores of its own, a scripted upstream."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from config.launcher import ports
from tests.faults.furnish import furnish
from tests.faults.stores import Cache, Database
from tests.journeys.books import Books
from tests.stack import PROJECT, Stack
from tests.upstream import ScriptedUpstream, credential

GATEWAYS = ("gateway-1", "gateway-2")
SETTLED_SECONDS = 120.0
# Some have plenty, some have nearly nothing, one has a key that may spend little.
CUSTOMERS: dict[str, dict[str, Any]] = {
    "Alice at work": {"credit": "1000", "key": []},
    "Bob's shop": {"credit": "1000", "key": []},
    "Charlie": {"credit": "0.02", "key": []},
    "Dave": {"credit": "0.005", "key": []},
    "Erin": {"credit": "1000", "key": ["--day-cap", "50"]},
}


@dataclass
class Ground:
    """What runs, and ways to reach each part."""

    stack: Stack
    database: Database
    cache: Cache
    upstream: ScriptedUpstream
    urls: dict[str, str]
    keys: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def books(self) -> Iterator[Books]:
        """On a connection of its own: the last one may have died with the database."""
        books = Books(self.database.url)
        try:
            yield books
        finally:
            books.connection.close()

    def start_gateway(self, name: str) -> None:
        self.stack.start_another_gateway(name, self.urls[name])

    def start_gateways(self, **changes: str) -> None:
        """Those that do not run, with these in their environment from now on."""
        self.stack.gateway_environment |= changes
        missing = [name for name in self.urls if name not in self.stack.processes]
        with ThreadPoolExecutor(len(self.urls)) as threads:
            list(threads.map(self.start_gateway, missing))

    def pid(self, name: str) -> int:
        return self.stack.processes[name].pid

    def metrics(self, url: str) -> str:
        """A gateway's own counts."""
        return httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text

    def oldest_hold_seconds(self) -> float:
        """The age of the oldest hold still pending; 0 where the database cannot be asked."""
        with suppress(psycopg.Error), self.books() as books:
            (row,) = books.rows(
                "SELECT coalesce(extract(epoch FROM max(now() - created_at)), 0)::float8 AS age"
                " FROM billing_transfer WHERE state = 'pending'"
            )
            return float(row["age"])
        return 0.0

    def wait_settled(self, seconds: float = SETTLED_SECONDS) -> float:
        """Until no hold is pending and no spool has anything: the oldest hold's age meanwhile.
        Raises `TimeoutError`."""
        deadline, oldest = time.monotonic() + seconds, 0.0
        while time.monotonic() < deadline:
            age = self.oldest_hold_seconds()
            oldest = max(oldest, age)
            if not age and not list(self.stack.folder.glob("spool*/*.jsonl")):
                return oldest
            time.sleep(0.25)
        raise TimeoutError(
            f"holds are still pending after {seconds:g} s, the oldest {oldest:.0f} s"
        )

    def is_proven(self) -> bool:
        """Whether `prove_ledger` finds nothing; what it finds is printed."""
        said = self.stack.manage("prove_ledger")
        if not said["ok"]:
            print(json.dumps(said, indent=2)[-4000:], flush=True)
        return bool(said["ok"])


@contextmanager
def opened(
    customers: dict[str, dict[str, Any]] | None = None,
    *,
    has_worker: bool = True,
    gateways: tuple[str, ...] = GATEWAYS,
    channels: int = 1,
    environment: dict[str, str] | None = None,
) -> Iterator[Ground]:
    """Built, answering, and taken apart at the end. Each model has so many `channels`, all of the
    one upstream; `environment` is everybody's beside the usual."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=os.environ["TTONK_DATA"]))
    folder.chmod(0o711)  # the stores may run as another account
    (folder / "logs").mkdir()
    parts: list[Database | Cache] = []
    stack: Stack | None = None
    try:
        database, cache = Database(folder), Cache(folder)
        parts += [database, cache]
        with ScriptedUpstream() as upstream:
            stack = _stack(folder, database, cache, gateways, environment or {})
            urls = {name: f"http://127.0.0.1:{ports.pick()}" for name in gateways}
            ground = Ground(stack, database, cache, upstream, urls)
            ground.keys = _furnish(stack, upstream, customers or CUSTOMERS, channels)
            ground.start_gateways()
            if has_worker:
                stack.start_worker()
            yield ground
            _stop(stack)
    finally:
        if stack is not None:
            _stop(stack)
        for part in parts:
            part.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _stop(stack: Stack) -> None:
    names = list(stack.processes)
    with ThreadPoolExecutor(max(len(names), 1)) as threads:
        list(threads.map(stack.stop, names))


def _stack(
    folder: Path, database: Database, cache: Cache, gateways: tuple[str, ...],
    changes: dict[str, str],
) -> Stack:  # fmt: skip
    environment = os.environ | credential() | {
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "DATABASE_URL": database.url,
        "REDIS_URL": cache.url,
        "TTONK_DATA": str(folder),
        "TTONK_SPOOL_DIR": str(folder / "spool"),
        "TTONK_GATEWAY_PROCESSES": str(len(gateways)),
        "TTONK_LOCAL_MODEL_URL": "",
        "EMAIL_URL": "consolemail://",
        **changes,
    }  # fmt: skip
    return Stack("", database.url, cache.url, environment, folder)


def _furnish(
    stack: Stack, upstream: ScriptedUpstream, customers: dict[str, dict[str, Any]], channels: int
) -> dict[str, str]:
    wanted = {"url": upstream.base_url, "channels": channels, "customers": customers}
    done = subprocess.run(
        [sys.executable, "-m", furnish.__module__], input=json.dumps(wanted), text=True,
        env=stack.environment, cwd=PROJECT, stdout=subprocess.PIPE, timeout=120, check=True,
    )  # fmt: skip
    keys: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return keys
