"""The load balancer: HAProxy, with the very configuration that production runs."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from config.launcher import folder, tools
from config.launcher.supervisor import Child

CONFIGURATION = folder.PROJECT / "docker" / "haproxy" / "balancer.cfg"
GATEWAYS = ("gateway-1", "gateway-2")  # as the configuration names them
SOCKET_PATH_CHARS_MAX = 100  # the system's own bound is 107
ADMIN_SECONDS = 5.0
# Between "nothing new for it" and the arrival of the last request that was on its way already.
SETTLE_SECONDS = 0.5


class Failed(Exception):
    """The balancer does not do what it was asked."""


def find() -> Path:
    """HAProxy's program. As root on Debian it is installed; elsewhere raises `tools.Absent`."""
    if (found := _on_disk()) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        tools.install("haproxy")
        found = _on_disk()
    if found is None:
        raise tools.Absent("no HAProxy: install it (Debian: apt-get install haproxy)")
    return found


def _on_disk() -> Path | None:
    # Debian puts it where only root's PATH looks.
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def child(data: Path, port: int, gateway_ports: tuple[int, int]) -> Child:
    """The process that listens on `port` for the gateways."""
    admin = _admin(data)
    if len(str(admin)) > SOCKET_PATH_CHARS_MAX:
        raise Failed(f"the data folder's path is too long for a socket in it: {data}")
    command = [str(find()), "-db", "-f", str(CONFIGURATION)]
    if os.geteuid() == 0:
        unprivileged = data / "balancer.cfg"
        unprivileged.write_text("global\n    user nobody\n    group nogroup\n")
        command += ["-f", str(unprivileged)]
    environment = {"TTONK_BIND": f"127.0.0.1:{port}", "TTONK_ADMIN": str(admin)}
    for number, there in enumerate(gateway_ports, 1):
        environment[f"TTONK_GATEWAY_{number}"] = f"127.0.0.1:{there}"
    return Child(
        "balancer", command, data / "logs" / "balancer.log", 5,
        environment=environment, stop_signal=signal.SIGUSR1,
    )  # fmt: skip


def take_out(data: Path, gateway: str) -> None:
    """Nothing new goes to this gateway once this returns; what it has goes on."""
    _ask(data, f"set server gateways/{gateway} state drain")
    time.sleep(SETTLE_SECONDS)


def put_back(data: Path, gateway: str) -> None:
    _ask(data, f"set server gateways/{gateway} state ready")


def in_service(data: Path) -> set[str]:
    """The gateways that are given requests."""
    table = csv.DictReader(_ask(data, "show stat").lstrip("# ").splitlines())
    return {
        row["svname"]
        for row in table
        if row["pxname"] == "gateways" and row["svname"] in GATEWAYS and row["status"] == "UP"
    }


def _ask(data: Path, command: str) -> str:
    """The admin socket's answer. Raises `Failed` where it refuses or is not there."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ADMIN_SECONDS)
            connection.connect(str(_admin(data)))
            connection.sendall(command.encode() + b"\n")
            while more := connection.recv(65536):
                answer += more
    except OSError as error:
        raise Failed(f"the load balancer does not answer: {error}") from error
    text = answer.decode().strip()
    if command.startswith("set") and text:
        raise Failed(f"the load balancer refuses `{command}`: {text}")
    return text


def _admin(data: Path) -> Path:
    return data / "balancer.sock"
