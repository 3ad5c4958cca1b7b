"""PostgreSQL and Valkey for whoever needs them: yours by URL, else private ones, started once.

Several commands may use one data folder at the same time. Each holds a shared lock while it does;
the last to leave stops the servers, unless `keep` asked for them to stay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.launcher import folder, postgres, processes, valkey


@dataclass(frozen=True)
class Stores:
    """Where the two stores answer, and which of them were already up."""

    database_url: str
    redis_url: str
    started: tuple[str, ...]


def ensure(data: Path) -> Stores:
    """Make both stores answer and record them in stores.json. Safe to call again at any time.

    `DATABASE_URL` and `REDIS_URL`, where set, are taken as they are. Raises `postgres.Failed`,
    `valkey.Failed` or `programs.Missing`.
    """
    folder.prepare(data)
    secrets = folder.keep_secrets(data)
    started: list[str] = []
    with folder.lock(data / "stores.lock", wait=True):
        database_url = os.environ.get("DATABASE_URL")
        if not database_url:
            server = _ensure_postgres(data, secrets["postgres_password"], started)
            database_url = postgres.url(server, secrets["postgres_password"])
        redis_url = os.environ.get("REDIS_URL")
        if not redis_url:
            cache = _ensure_valkey(data, secrets["valkey_password"], started)
            redis_url = valkey.url(cache, secrets["valkey_password"])
        _note(data, DATABASE_URL=database_url, REDIS_URL=redis_url)
    return Stores(database_url, redis_url, tuple(started))


@contextmanager
def held(data: Path) -> Iterator[Stores]:
    """The stores for the block's time; stopped after it unless someone else still uses them."""
    folder.prepare(data)
    try:
        with folder.lock(data / "users.lock", shared=True, wait=True):
            yield ensure(data)
    finally:
        if not _known(data).get("kept"):
            stop_unused(data)


def keep(data: Path) -> Stores:
    """Start the stores and leave them running until `stop_unused` is asked to end kept ones."""
    stores = ensure(data)
    _note(data, kept=True)
    return stores


def stop_unused(data: Path) -> bool:
    """Stop the private servers; False, and nothing is done, while another command uses them."""
    try:
        with folder.lock(data / "users.lock"), folder.lock(data / "stores.lock", wait=True):
            known = _known(data)
            if server := known.get("postgres"):
                postgres.stop(server)
            if cache := known.get("valkey"):
                valkey.stop(cache)
            ports = {name: known[name]["port"] for name in ("postgres", "valkey") if name in known}
            folder.write(data / "stores.json", {"ports": ports})
    except folder.Busy:
        return False
    return True


def running(data: Path) -> bool:
    """Whether every private server on record is up; False where there is none."""
    servers = _servers(data)
    return bool(servers) and all(processes.alive(server["process"]) for server in servers)


def died(data: Path) -> bool:
    """Whether a private server on record is down. Yours, by URL, are not ours to watch."""
    return not all(processes.alive(server["process"]) for server in _servers(data))


def _ensure_postgres(data: Path, password: str, started: list[str]) -> postgres.Server:
    known: postgres.Server | None = _known(data).get("postgres")
    if known and processes.alive(known["process"]):
        postgres.wait_until_ready(known, password, data / "logs" / "postgres.log")
        return known
    started.append("PostgreSQL")
    port = known["port"] if known else _port(data, "postgres")
    for seconds in (1.0, 2.0, 4.0) if known else ():
        try:
            return postgres.start(data, password, port, lambda server: _note(data, postgres=server))
        except postgres.Failed:
            time.sleep(seconds)  # sessions of a killed server take a moment to notice and go
    return postgres.start(data, password, port, lambda server: _note(data, postgres=server))


def _ensure_valkey(data: Path, password: str, started: list[str]) -> valkey.Server:
    known: valkey.Server | None = _known(data).get("valkey")
    if known and processes.alive(known["process"]) and valkey.answers(known["port"], password):
        return known
    if known:
        valkey.stop(known)
    started.append("Valkey")
    port = known["port"] if known else _port(data, "valkey")
    return valkey.start(data, password, port, lambda server: _note(data, valkey=server))


def _port(data: Path, name: str) -> int | None:
    port: int | None = _known(data).get("ports", {}).get(name)
    return port


def _servers(data: Path) -> list[Any]:
    known = _known(data)
    return [known[name] for name in ("postgres", "valkey") if name in known]


def _known(data: Path) -> dict[str, Any]:
    return folder.read(data / "stores.json")


def _note(data: Path, **facts: Any) -> None:
    folder.write(data / "stores.json", _known(data) | facts)
