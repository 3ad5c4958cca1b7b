"""The data folder: where one copy of the product keeps its stores, secrets, logs and pids."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


class Busy(Exception):
    """Another process holds the lock; carries what it wrote about itself."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def locate() -> Path:
    """The data folder's path: `TTONK_DATA`, else beside the project, else (root) in /var/lib.

    PostgreSQL refuses to run as root, and the account it runs as instead cannot look into
    home folders; hence the other place for root.
    """
    if chosen := os.environ.get("TTONK_DATA"):
        return Path(chosen).expanduser().resolve()
    if os.geteuid() == 0:
        name = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:10]
        return Path("/var/lib/ttonkapi") / name
    return PROJECT / ".data"


def prepare(data: Path) -> Path:
    """Create the folder and its `logs`; others may pass through it but not list it."""
    for path in (data, data / "logs", data / "mail"):
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o711 if path == data else 0o700)
    return data


def read(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an absent or half-made file reads as empty."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def write(path: Path, content: dict[str, Any]) -> None:
    """Replace `path` at once, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def keep_secrets(data: Path) -> dict[str, str]:
    """The copy's secrets, made once. Losing them makes its API keys and credentials unreadable."""
    path = data / "secrets.json"
    made = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "TTONK_KEY_PEPPER": secrets.token_urlsafe(32),
        "TTONK_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "postgres_password": secrets.token_urlsafe(24),
        "valkey_password": secrets.token_urlsafe(24),
    }
    if made.keys() <= (known := read(path)).keys():
        return known
    with lock(data / "secrets.lock", wait=True):
        known = made | read(path)
        write(path, known)
    return known


def environment(data: Path) -> dict[str, str]:
    """What a process needs to join this copy: URLs, secrets, and where the copy answers.

    A `DATABASE_URL` or `REDIS_URL` of the caller's own wins. Without stores the URLs are absent.
    """
    stores, run = read(data / "stores.json"), read(data / "run.json")
    known = {"TTONK_DATA": str(data), "TTONK_SPOOL_DIR": str(data / "spool")}
    known |= {key: value for key, value in read(data / "secrets.json").items() if key.isupper()}
    known |= run.get("environment", {})
    for name in ("DATABASE_URL", "REDIS_URL"):
        if url := os.environ.get(name) or stores.get(name):
            known[name] = url
    return known


@contextmanager
def lock(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold `path` for the block's time; the system lets go of it should we be killed.

    Raises `Busy` at once when another process holds it and `wait` is false.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(os.read(descriptor, 400).decode(errors="replace").strip()) from None
        if not shared:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"pid {os.getpid()}".encode())
        yield
    finally:
        os.close(descriptor)
