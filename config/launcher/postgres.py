"""A private PostgreSQL: made once, durable, reachable over loopback with a password."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from config.launcher import ports, processes, programs

NAME = "ttonkapi"  # both the role and the database
START_SECONDS = 60.0  # a crashed cluster replays its log first
# Fast shutdown (sessions are cut, data is flushed), then without a flush, then the hard way.
ENDING = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
# Durability is part of what the product promises, so it stays on in trials and tests too.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "logging_collector": "off",
}


class Failed(Exception):
    """The server did not come up; the message ends with the last lines of its log."""


class Server(TypedDict):
    """A running server as recorded in stores.json."""

    process: processes.Record
    port: int
    home: str


def url(server: Server, password: str, database: str = NAME) -> str:
    return f"postgres://{NAME}:{password}@127.0.0.1:{server['port']}/{database}"


def start(data: Path, password: str, port: int | None, note: Callable[[Server], None]) -> Server:
    """Start the cluster of `data`, made when absent, on `port` if that is free. Blocks until ready.

    `note` is told at once, before the server answers: should we be killed meanwhile, the next
    start knows of it. Raises `Failed`, or `programs.Missing`.
    """
    runner = programs.account()
    home = _home(data, runner)
    binaries = programs.bring_postgres(home, runner)
    cluster = home / "cluster"
    if not cluster.exists():
        _create(cluster, binaries, password, runner)
    _check_version(cluster, binaries)
    _forget_dead(cluster)
    port = port if port and ports.is_free(port) else ports.pick()
    command = [str(binaries / "postgres"), "-D", str(cluster), "-p", str(port)]
    for name, value in SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    log = data / "logs" / "postgres.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,  # the terminal's Ctrl-C is not for it
            **runner.options(),
        )
    server: Server = {"process": processes.record(child.pid), "port": port, "home": str(home)}
    note(server)
    try:
        wait_until_ready(server, password, log)
    except BaseException:
        stop(server)
        raise
    return server


def wait_until_ready(server: Server, password: str, log: Path) -> None:
    """Return once the product's database exists and answers. Raises `Failed`."""
    import psycopg
    from psycopg import sql

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            address = url(server, password, "postgres")
            with psycopg.connect(address, connect_timeout=5, autocommit=True) as connection:
                known = "SELECT 1 FROM pg_database WHERE datname = %s"
                if connection.execute(known, [NAME]).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
            return
        except psycopg.OperationalError as error:
            if not processes.alive(server["process"]) or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise Failed(f"PostgreSQL did not start: {error}\n{tail}") from error
            time.sleep(0.05)


def stop(server: Server) -> bool:
    """End the server, flushing its data first; True when it is gone."""
    return processes.end(server["process"], *ENDING)


def _home(data: Path, runner: programs.Account) -> Path:
    """Where the cluster lives: in the data folder, or in /var/lib if the account is shut out."""
    home = data / "postgres"
    if not runner.reaches(data):
        home = Path("/var/lib/ttonkapi") / f"for-{str(data).strip('/').replace('/', '-')}"
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711)
    return home


def _create(cluster: Path, binaries: Path, password: str, runner: programs.Account) -> None:
    """Make the cluster beside its place and move it there, so that a half-made one never counts."""
    major = _major(binaries)
    locale = ["--locale=C.UTF-8"]
    if major >= 17:  # the built-in provider sorts the same on every machine
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with tempfile.TemporaryDirectory(dir=cluster.parent, prefix="making-") as making:
        runner.own(Path(making))
        secret = Path(making) / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        runner.own(secret)
        fresh = Path(making) / "cluster"
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", NAME, "--encoding=UTF8"]
        command += [*locale, "--auth=scram-sha-256", f"--pwfile={secret}"]
        made = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            check=False,
            **runner.options(),
        )
        if made.returncode:
            raise Failed(f"initdb failed:\n{made.stdout[-2000:]}")
        os.rename(fresh, cluster)


def _check_version(cluster: Path, binaries: Path) -> None:
    made_by = int((cluster / "PG_VERSION").read_text().split(".")[0])
    if (here := _major(binaries)) != made_by:
        raise Failed(
            f"{cluster} was made by PostgreSQL {made_by}, the programs here are {here}: "
            f"dump it with {made_by} and restore it, or start on another TTONK_DATA"
        )


def _forget_dead(cluster: Path) -> None:
    """Drop a killed server's pid file: PostgreSQL takes a zombie of that pid for a live one."""
    path = cluster / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        if not processes.record(int(path.read_text().split()[0]))["started"]:
            path.unlink()


def _major(binaries: Path) -> int:
    shown = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return int(shown.split(")")[1].split()[0].split(".")[0])
