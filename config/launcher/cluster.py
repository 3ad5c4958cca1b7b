"""`make cluster`: production's topology on one machine, and its rolling restart.

Two gateways behind HAProxy, worker and beat, on one PostgreSQL and one Valkey. Each part is the
process that production runs; only the addresses are all loopback.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from config.launcher import balancer, folder, ports, processes, steps
from config.launcher import run as launcher
from config.launcher.supervisor import Child, Supervisor

ROLL_SIGNAL = signal.SIGUSR2
READY_SECONDS = 60.0
# Two drains, two starts, and the worker's.
ROLL_SECONDS = 300.0


class NotRolled(Exception):
    """A rolling restart stopped midway; says where. What was not reached still serves."""


def run() -> int:
    """Start everything, stay until told to stop. SIGUSR2 asks for a rolling restart."""
    return launcher.run(compose)


def compose(data: Path, port: int) -> launcher.Topology:
    return Cluster(data, port).topology()


def restart() -> int:
    """Ask the copy that runs on the data folder for a rolling restart, and wait for its end."""
    data = folder.locate()
    known: processes.Record | None = folder.read(data / "run.json").get("launcher")
    outcome = data / "roll.json"
    if known is None or not processes.alive(known) or not outcome.exists():
        steps.say(f"no cluster runs on {data}; start it: make cluster")
        return 1
    before = folder.read(outcome).get("count", 0)
    os.kill(known["pid"], ROLL_SIGNAL)
    deadline = time.monotonic() + ROLL_SECONDS
    while processes.alive(known) and time.monotonic() < deadline:
        if (now := folder.read(outcome)).get("count", 0) > before:
            steps.say(now["said"])
            return 0 if now["is_whole"] else 1
        time.sleep(0.1)
    steps.say("the restart did not end")
    return 1


class Cluster:
    """The gateways' places, and whether a rolling restart is asked for."""

    def __init__(self, data: Path, port: int) -> None:
        self._data = data
        self._port = port
        self._ports = (ports.pick(), ports.pick())
        self._is_asked = False
        self._count = 0
        signal.signal(ROLL_SIGNAL, self._note)
        self._tell("not restarted yet", is_whole=True)

    def topology(self) -> launcher.Topology:
        return launcher.Topology(
            gateways=tuple(self._gateway(name) for name in balancer.GATEWAYS),
            balancer=balancer.child(self._data, self._port, self._ports),
            tend=self._tend,
            environment={
                "TTONK_GATEWAY_PROCESSES": str(len(balancer.GATEWAYS)),
                "TTONK_TRUSTED_PROXIES": "127.0.0.1/32",
            },
        )

    def _gateway(self, name: str) -> Child:
        """Each has a spool of its own, as on machines of their own; the first one's is the one
        `make run` has."""
        number = balancer.GATEWAYS.index(name)
        spool = self._data / ("spool" if number == 0 else f"spool-{number + 1}")
        return launcher.gateway(self._data, name, self._ports[number], TTONK_SPOOL_DIR=str(spool))

    def _note(self, *_: object) -> None:
        self._is_asked = True

    def _tend(self, supervisor: Supervisor, signals: steps.Signals) -> None:
        if not self._is_asked:
            return
        self._is_asked = False
        self._count += 1
        try:
            self._roll(supervisor, signals)
        except (NotRolled, balancer.Failed) as error:
            self._tell(f"not restarted: {error}", is_whole=False)
        else:
            self._tell("restarted: both gateways in turn, worker and beat", is_whole=True)

    def _roll(self, supervisor: Supervisor, signals: steps.Signals) -> None:
        """One gateway at a time, and only while the other one serves."""

        def meanwhile() -> bool:
            supervisor.tend()
            return signals.count > 0

        for name in balancer.GATEWAYS:
            with steps.step(f"restarting {name}"):
                self._replace(name, supervisor, meanwhile)
        for child in launcher.worker_and_beat(self._data):
            with steps.step(f"restarting {child.name}"):
                supervisor.drain((child.name,), meanwhile)
                supervisor.start(child)

    def _replace(self, name: str, supervisor: Supervisor, meanwhile: Callable[[], bool]) -> None:
        """Raises `NotRolled`. `meanwhile` is called all the time; true gives up waiting."""

        def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
            deadline = time.monotonic() + READY_SECONDS
            while not is_so():
                if meanwhile() or time.monotonic() > deadline:
                    raise NotRolled(otherwise)
                time.sleep(0.1)

        if not set(balancer.GATEWAYS) - {name} <= balancer.in_service(self._data):
            raise NotRolled(f"{name} is the only gateway in service")
        balancer.take_out(self._data, name)
        supervisor.drain((name,), meanwhile)
        supervisor.start(self._gateway(name))
        port = self._ports[balancer.GATEWAYS.index(name)]
        wait_until(lambda: steps.answers(f"http://127.0.0.1:{port}/readyz"), f"{name} is not ready")
        balancer.put_back(self._data, name)
        wait_until(
            lambda: name in balancer.in_service(self._data), f"the balancer does not use {name}"
        )

    def _tell(self, said: str, *, is_whole: bool) -> None:
        """For `restart`, which waits in another process."""
        folder.write(
            self._data / "roll.json", {"count": self._count, "said": said, "is_whole": is_whole}
        )
