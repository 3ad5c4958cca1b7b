"""Packages of other projects, each in a folder of a cache: a second run installs nothing.

Only what package registries serve, by the ordinary clients; nothing of it touches the project's
own environment. The folder: `TTONK_PEERS`, else `ttonkapi-peers` in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

INSTALL_SECONDS = 900.0
_DONE = ".installed"
# A machine's registries are its own affair: reports do not name them.
_ADDRESS = re.compile(r"https?://\S+")


class Absent(Exception):
    """A program cannot be had on this machine; the message says why."""


def cache() -> Path:
    """Where installed peers stay."""
    if chosen := os.environ.get("TTONK_PEERS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ttonkapi-peers"


def python(name: str, *requirements: str) -> Path:
    """A virtual environment with these packages; its folder. Raises `Absent`."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", *requirements])

    return _once(name, requirements, install)


def node(name: str, dependencies: dict[str, str], overrides: dict[str, str]) -> Path:
    """A folder whose `node_modules` has these packages. Raises `Absent`."""
    npm = _program("npm", "nodejs and npm")
    wanted = json.dumps({"private": True, "dependencies": dependencies, "overrides": overrides})

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(wanted)
        _run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return _once(name, (wanted,), install)


def go(name: str, module: str, version: str) -> Path:
    """The program of a Go module's root package. Raises `Absent`.

    Built from a module of our own that requires it: `go install` would ask the proxy for every
    shorter path as well, and some proxies answer those with a refusal instead of an absence.
    """
    program = _program("go", "Go")

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        _run([program, "mod", "init", "benchmarks.example/peer"], folder)
        _run([program, "mod", "edit", "-require", f"{module}@{version}"], folder)
        _run([program, "build", "-mod=mod", "-o", str(folder / name), module], folder)

    return _once(name, (module, version), install) / name


def debian(name: str, package: str) -> Path:
    """A program on the PATH; as root on Debian a missing one is installed. Raises `Absent`."""
    where = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    if found := shutil.which(name, path=where):
        return Path(found)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Absent(f"no {name} on the PATH (Debian: apt-get install {package})")
    # Installed, but not left running as a service of the machine.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    _run(["apt-get", "update", "-q"], more=quiet)
    _run(["apt-get", "install", "-q", "-y", "--no-install-recommends", package], more=quiet)
    return Path(_program(name, name, where))


def _once(name: str, recipe: tuple[str, ...], install: Callable[[Path], None]) -> Path:
    """The folder of a recipe, installed if it was not; a half-made one is made anew."""
    digest = hashlib.sha256("\n".join((sys.version, *recipe)).encode()).hexdigest()[:12]
    folder = cache() / f"{name}-{digest}"
    if not (folder / _DONE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        install(folder)
        (folder / _DONE).touch()
    return folder


def _program(name: str, words: str, where: str | None = None) -> str:
    if found := shutil.which(name, path=where):
        return found
    raise Absent(f"needs {words}, which this machine lacks")


def _run(
    command: list[str], folder: Path | None = None, more: dict[str, str] | None = None
) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | (more or {}), capture_output=True, text=True,
            timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Absent(f"{Path(command[0]).name} took longer than {INSTALL_SECONDS:g} s") from None
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = _ADDRESS.sub("…", said[-1])[:200] if said else "no word"
        raise Absent(f"{Path(command[0]).name} failed: {last}")
