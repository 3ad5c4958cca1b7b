"""`make run`: everything on one machine, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from config.launcher import banner, folder, local_model, ports, processes, stores
from config.launcher.supervisor import Child, GaveUp, Supervisor

PORT_DEFAULT = 8000
READY_SECONDS = 120.0
STEP_SECONDS = 600.0
GATEWAY_DRAIN_SECONDS = 60


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


def run() -> int:
    """Start everything, stay until told to stop, leave no process behind. Returns the status."""
    data = folder.prepare(folder.locate())
    signals = Signals()
    try:
        with folder.lock(data / "run.lock"):
            _end_survivors(data)
            port = _choose_port()
            with _stores(data):
                return _run(data, port, signals)
    except folder.Busy as busy:
        where = folder.read(data / "run.json").get("environment", {}).get("TTONK_BASE_URL", "")
        say(
            f"a copy already runs on {data} ({busy.holder}, {where}). Stop it, or start another "
            "with its own folder and port: make run TTONK_DATA=/some/folder PORT=8001"
        )
    except (Refused, GaveUp) as error:
        say(str(error))
    except Stopped:
        say("stopped")
        return 130
    return 1


def say(line: str) -> None:
    print(f"== {line}", flush=True)


def _run(data: Path, port: int, signals: Signals) -> int:
    environment = _environment(data, port)
    state: dict[str, Any] = {"port": port, "environment": _shared(environment)}

    def note(children: dict[str, processes.Record]) -> None:
        folder.write(data / "run.json", state | {"children": children})

    supervisor = Supervisor(environment, folder.PROJECT, note, say)
    try:
        model_port = int(environment["TTONK_LOCAL_MODEL_URL"].rsplit(":")[-1].split("/")[0])
        model = [sys.executable, "-m", "config.launcher.local_model", str(model_port)]
        supervisor.start(Child("local model", model, data / "logs" / "local-model.log", 2))
        _manage(signals, environment, "migrating", "migrate", "--verbosity", "1")
        _manage(signals, environment, "seeding the catalog", "seed_catalog")
        seeded = _manage(signals, environment, "seeding the operator and a key", "seed_local")
        with _step("starting gateway, worker and beat"):
            for child in _product(data, port):
                supervisor.start(child)
            _wait_until_ready(port, model_port, supervisor, signals)
        print(banner.compose(environment, _last_json(seeded), data), flush=True)
        _watch(data, supervisor, signals)
    finally:
        _stop(supervisor, signals)
        folder.write(data / "run.json", {})
    return 0


@contextmanager
def _stores(data: Path) -> Iterator[None]:
    """The stores for the block's time, with a line for their start."""
    with ExitStack() as stack:
        with _step("starting PostgreSQL and Valkey"):
            stack.enter_context(stores.held(data))
        yield


def _environment(data: Path, port: int) -> dict[str, str]:
    """What every process of this copy gets; the caller's own values win."""
    made = {
        "TTONK_BASE_URL": f"http://127.0.0.1:{port}",
        "TTONK_LOCAL_MODEL_URL": local_model.url(ports.pick()),
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "PYTHONUNBUFFERED": "1",
    }
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    return made | folder.environment(data) | os.environ | {"TTONK_DATA": str(data)}


def _shared(environment: dict[str, str]) -> dict[str, str]:
    """What a `manage.py` run by hand needs beyond the stores and secrets."""
    return {name: environment[name] for name in ("TTONK_BASE_URL", "TTONK_LOCAL_MODEL_URL")}


def _product(data: Path, port: int) -> list[Child]:
    logs = data / "logs"
    gateway = ["uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    gateway += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    gateway += ["--no-server-header", "--no-proxy-headers", "--timeout-keep-alive", "75"]
    gateway += ["--timeout-graceful-shutdown", str(GATEWAY_DRAIN_SECONDS)]
    worker = ["celery", "-A", "config", "worker", "--concurrency", "1", "--loglevel", "INFO"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = ["celery", "-A", "config", "beat", "-s", str(data / "beat-schedule"), "--pidfile", ""]
    python = [sys.executable, "-m"]
    return [
        Child("gateway", python + gateway, logs / "gateway.log", GATEWAY_DRAIN_SECONDS + 5),
        Child("worker", python + worker, logs / "worker.log", 20),
        Child("beat", python + beat, logs / "beat.log", 5),
    ]


def _wait_until_ready(port: int, model: int, supervisor: Supervisor, signals: Signals) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (_answers(f"http://127.0.0.1:{port}/readyz") and local_model.ready(model)):
        signals.check()
        supervisor.tend()
        if time.monotonic() > deadline:
            raise Refused(f"not ready after {READY_SECONDS:g} s; the logs say why")
        time.sleep(0.1)


def _watch(data: Path, supervisor: Supervisor, signals: Signals) -> None:
    """Until told to stop: restart what dies, the stores too, on their old ports."""
    while not signals.count:
        if not stores.running(data):
            up = stores.ensure(data)
            say(f"{' and '.join(up.started)} ended and was started again")
        supervisor.tend()
        time.sleep(0.25)


def _stop(supervisor: Supervisor, signals: Signals) -> None:
    """Answers in flight first, while all they need still runs; then what they needed."""
    if any(child.name == "gateway" and child.running() for child in supervisor.children):
        say(f"stopping: answers in flight get {GATEWAY_DRAIN_SECONDS} s (Ctrl-C again cuts them)")
    supervisor.drain(("gateway", "beat"), signals.hurried)
    supervisor.drain(("worker",), signals.hurried)
    supervisor.drain(("local model",), signals.hurried)


def _end_survivors(data: Path) -> None:
    """End the processes of a launcher that was killed. The stores are taken over instead."""
    for name, known in folder.read(data / "run.json").get("children", {}).items():
        if processes.alive(known):
            say(f"ending the {name} that a killed launcher left (pid {known['pid']})")
            processes.end(known, (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0), group=True)


def _choose_port() -> int:
    port = int(os.environ.get("PORT") or PORT_DEFAULT)
    if not ports.is_free(port):
        raise Refused(f"port {port} is taken by another program; choose one: make run PORT=8001")
    return port


def _manage(signals: Signals, environment: dict[str, str], what: str, *arguments: str) -> str:
    """Run a manage.py command and return its output; shown only when it fails."""
    signals.check()
    with _step(what):
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


def _last_json(output: str) -> dict[str, str]:
    """The JSON object a command printed, with or without lines before it."""
    found: dict[str, str] = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"== {what} …", end="", flush=True)
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.monotonic() - began:.1f} s", flush=True)
