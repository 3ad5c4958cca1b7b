"""The real product in processes of its own, for tests that speak to it over the wire."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from config import serve
from config.launcher import ports

PROJECT = Path(__file__).resolve().parents[1]
READY_SECONDS = 60.0
DRAIN_SECONDS = 20.0
REDIS_NUMBER_FIRST = 8  # below are the test processes' own


@dataclass
class Stack:
    """One running gateway on a database and a Redis number of its own."""

    base_url: str
    database_url: str
    redis_url: str
    environment: dict[str, str]
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    # What the gateway is told differently from the commands and the worker.
    gateway_environment: dict[str, str] = field(default_factory=dict)
    gateway_module: str = "config.serve"
    drain_seconds: float = DRAIN_SECONDS

    def manage(self, *arguments: str) -> Any:
        """Run a manage.py command with `--json` against this product; its JSON, or None."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--json"],
            env=self.environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def start_gateway(self) -> None:
        self.start_another_gateway("gateway", self.base_url)

    def start_another_gateway(self, name: str, base_url: str) -> None:
        """One more gateway on the same stores; returns once it is ready."""
        port = urlsplit(base_url).port
        assert port is not None
        usual = serve.command(port, drain_seconds=self.drain_seconds)
        command = [sys.executable, "-m", self.gateway_module, *usual[3:]]
        self._start(name, command, self.gateway_environment)
        self._wait_until_ready(name, base_url)

    def start_worker(self) -> None:
        """A Celery worker with beat inside it; call it from the tests that wait for tasks."""
        if "worker" not in self.processes:
            schedule = str(self.folder / "beat-schedule")
            celery = [sys.executable, "-m", "celery"]
            command = [*celery, "-A", "config", "worker", "--pool", "solo", "-B", "-s", schedule]
            self._start("worker", command)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(self.drain_seconds + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """As a crash does: no signal handler, no last words."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)  # a worker's beat is a process of its own
        process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, command: list[str], changes: dict[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                command,
                env=self.environment | (changes or {}),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_until_ready(self, name: str, base_url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{base_url}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            died = self.processes[name].poll() is not None
            assert not died and time.monotonic() < deadline, self.log(name)[-4000:]
            time.sleep(0.1)


def build(
    name: str, number: int, folder: Path, gateway_environment: dict[str, str] | None = None,
    **changes: str,
) -> Stack:  # fmt: skip
    """A migrated and seeded product whose gateway answers. `name` names its database, `changes`
    are in the environment of all its processes."""
    outer = urlsplit(os.environ["DATABASE_URL"])
    create_database(urlunsplit(outer), name)
    redis_path = f"/{REDIS_NUMBER_FIRST + number}"
    redis_url = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path=redis_path))
    redis.Redis.from_url(redis_url).flushdb()
    base_url = f"http://127.0.0.1:{ports.pick()}"
    database_url = urlunsplit(outer._replace(path=f"/{name}"))
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "TTONK_DATA": str(folder),
        "TTONK_SPOOL_DIR": str(folder / "spool"),
        "TTONK_BASE_URL": base_url,
        "EMAIL_URL": "consolemail://",
        "TTONK_EMAIL_VERIFICATION": "optional",
        **changes,
    }
    stack = Stack(base_url, database_url, environment["REDIS_URL"], environment, folder)
    stack.gateway_environment = gateway_environment or {}
    for command in (("migrate", "--verbosity", "0"), ("seed_catalog",)):
        subprocess.run(
            [sys.executable, "manage.py", *command], env=environment, cwd=PROJECT, check=True
        )
    stack.start_gateway()
    return stack


def create_database(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        quoted = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
