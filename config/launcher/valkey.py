"""A private Valkey: in memory only, bounded, reachable over loopback with a password."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from config.launcher import ports, processes, programs

START_SECONDS = 15.0
ENDING = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
# Nothing in it is worth a disk: limits and queues are rebuilt, money is in PostgreSQL. When full
# it refuses writes rather than forget a limit.
SETTINGS = """
bind 127.0.0.1
save ""
appendonly no
databases 64
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
"""


class Failed(Exception):
    """The server did not come up."""


class Server(TypedDict):
    """A running server as recorded in stores.json."""

    process: processes.Record
    port: int


def url(server: Server, password: str, database: int = 0) -> str:
    return f"redis://:{password}@127.0.0.1:{server['port']}/{database}"


def start(data: Path, password: str, port: int | None, note: Callable[[Server], None]) -> Server:
    """Start the server on `port` if that is free; `note` is told at once. Blocks until it answers.

    Raises `Failed`, or `programs.Missing`.
    """
    runner = programs.account()
    program = programs.bring_valkey(data, runner)
    port = port if port and ports.is_free(port) else ports.pick()
    log = data / "logs" / "valkey.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(program), "-"],  # settings come over stdin: a password is not for the process list
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            **runner.options(),
        )
    assert child.stdin is not None
    child.stdin.write(f"{SETTINGS}port {port}\nrequirepass {password}\n".encode())
    child.stdin.close()
    server: Server = {"process": processes.record(child.pid), "port": port}
    note(server)
    deadline = time.monotonic() + START_SECONDS
    while not answers(port, password):
        if not processes.alive(server["process"]) or time.monotonic() > deadline:
            stop(server)
            raise Failed(f"Valkey did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
    return server


def answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2 and (more := connection.recv(200)):
                reply += more
            return b"+PONG" in reply
    except OSError:
        return False


def stop(server: Server) -> bool:
    """End the server; True when it is gone."""
    return processes.end(server["process"], *ENDING)
