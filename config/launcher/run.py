"""`make run`: everything on one machine, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import serve
from config.launcher import (
    balancer,
    banner,
    folder,
    local_model,
    ports,
    processes,
    steps,
    stores,
)
from config.launcher.supervisor import Child, GaveUp, Supervisor

PORT_DEFAULT = 8000
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Topology:
    """What answers requests, and what is to be done about it now and then."""

    gateways: tuple[Child, ...]
    balancer: Child | None = None
    tend: Callable[[Supervisor, steps.Signals], None] = lambda supervisor, signals: None
    environment: dict[str, str] = field(default_factory=dict)


def single(data: Path, port: int) -> Topology:
    """One gateway, which clients reach directly."""
    return Topology((gateway(data, "gateway", port),))


def run(compose: Callable[[Path, int], Topology] = single) -> int:
    """Start everything, stay until told to stop, leave no process behind. Returns the status."""
    data = folder.prepare(folder.locate())
    signals = steps.Signals()
    try:
        with folder.lock(data / "run.lock"):
            _end_survivors(data)
            port = _choose_port()
            with _stores(data):
                return _run(data, port, compose(data, port), signals)
    except folder.Busy as busy:
        where = folder.read(data / "run.json").get("environment", {}).get("TTONK_BASE_URL", "")
        steps.say(
            f"a copy already runs on {data} ({busy.holder}, {where}). Stop it, or start another "
            "with its own folder and port: make run TTONK_DATA=/some/folder PORT=8001"
        )
    except (steps.Refused, GaveUp, balancer.Failed) as error:
        steps.say(str(error))
    except steps.Stopped:
        steps.say("stopped")
        return 130
    return 1


def _run(data: Path, port: int, topology: Topology, signals: steps.Signals) -> int:
    environment = _environment(data, port) | topology.environment
    state: dict[str, Any] = {
        "port": port,
        "environment": _shared(environment),
        "launcher": processes.record(os.getpid()),
    }

    def note(children: dict[str, processes.Record]) -> None:
        folder.write(data / "run.json", state | {"children": children})

    supervisor = Supervisor(environment, folder.PROJECT, note, steps.say)
    try:
        model_port = _start_local_model(data, environment, supervisor)
        steps.manage(signals, environment, "migrating", "migrate", "--verbosity", "1")
        steps.manage(signals, environment, "seeding the catalog", "seed_catalog")
        seeded = steps.manage(signals, environment, "seeding the operator and a key", "seed_local")
        front = [topology.balancer] if topology.balancer else []
        names = ", ".join(child.name for child in (*front, *topology.gateways))
        with steps.step(f"starting {names}, worker and beat"):
            for child in (*topology.gateways, *front, *worker_and_beat(data)):
                supervisor.start(child)
            _wait_until_ready(port, model_port, supervisor, signals)
        print(banner.compose(environment, _last_json(seeded), data), flush=True)
        _watch(data, supervisor, signals, topology)
    finally:
        _stop(supervisor, signals)
        folder.write(data / "run.json", {})
    return 0


def _start_local_model(
    data: Path, environment: dict[str, str], supervisor: Supervisor
) -> int | None:
    """Its port; None where the caller's environment names another model server."""
    if "TTONK_LOCAL_MODEL_URL" in os.environ:
        return None
    port = int(environment["TTONK_LOCAL_MODEL_URL"].rsplit(":")[-1].split("/")[0])
    command = [sys.executable, "-m", "config.launcher.local_model", str(port)]
    supervisor.start(Child("local model", command, data / "logs" / "local-model.log", 2))
    return port


@contextmanager
def _stores(data: Path) -> Iterator[None]:
    """The stores for the block's time, with a line for their start."""
    with ExitStack() as stack:
        with steps.step("starting PostgreSQL and Valkey"):
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


def gateway(data: Path, name: str, port: int, **environment: str) -> Child:
    log = data / "logs" / f"{name}.log"
    return Child(name, serve.command(port), log, serve.DRAIN_SECONDS + 5, environment=environment)


def worker_and_beat(data: Path) -> tuple[Child, Child]:
    python, logs = [sys.executable, "-m"], data / "logs"
    worker = ["celery", "-A", "config", "worker", "--concurrency", "2", "--loglevel", "INFO"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = ["celery", "-A", "config", "beat", "-s", str(data / "beat-schedule"), "--pidfile", ""]
    return (
        Child("worker", python + worker, logs / "worker.log", 20),
        Child("beat", python + beat, logs / "beat.log", 5),
    )


def _wait_until_ready(
    port: int, model: int | None, supervisor: Supervisor, signals: steps.Signals
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    url = f"http://127.0.0.1:{port}/readyz"
    while not (steps.answers(url) and (model is None or local_model.ready(model))):
        signals.check()
        supervisor.tend()
        if time.monotonic() > deadline:
            raise steps.Refused(f"not ready after {READY_SECONDS:g} s; the logs say why")
        time.sleep(0.1)


def _watch(data: Path, supervisor: Supervisor, signals: steps.Signals, topology: Topology) -> None:
    """Until told to stop: restart what dies, the stores too, on their old ports."""
    while not signals.count:
        if stores.died(data):
            up = stores.ensure(data)
            steps.say(f"{' and '.join(up.started)} ended and was started again")
        supervisor.tend()
        topology.tend(supervisor, signals)
        time.sleep(0.25)


def _stop(supervisor: Supervisor, signals: steps.Signals) -> None:
    """Answers in flight first, while all they need still runs; then what they needed."""
    gateways = tuple(each.name for each in supervisor.children if each.name.startswith("gateway"))
    if gateways:
        steps.say(
            f"stopping: answers in flight get {serve.DRAIN_SECONDS} s (Ctrl-C again cuts them)"
        )
    supervisor.drain((*gateways, "beat"), signals.hurried)
    supervisor.drain(("balancer", "worker"), signals.hurried)
    supervisor.drain(("local model",), signals.hurried)


def _end_survivors(data: Path) -> None:
    """End the processes of a launcher that was killed. The stores are taken over instead."""
    for name, known in folder.read(data / "run.json").get("children", {}).items():
        if processes.alive(known):
            steps.say(f"ending the {name} that a killed launcher left (pid {known['pid']})")
            processes.end(known, (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0), group=True)


def _choose_port() -> int:
    port = int(os.environ.get("PORT") or PORT_DEFAULT)
    if not ports.is_free(port):
        raise steps.Refused(
            f"port {port} is taken by another program; choose one: make run PORT=8001"
        )
    return port


def _last_json(output: str) -> dict[str, str]:
    """The JSON object a command printed, with or without lines before it."""
    found: dict[str, str] = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return found
