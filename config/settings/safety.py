"""What makes production unsafe, as sentences. Pure: the settings hand in what they read."""

import base64
import binascii
import re
from urllib.parse import parse_qs, urlsplit

SECRET_CHARS_MIN = 32
DISTINCT_MIN = 10  # of a secret's characters: fewer is a word typed again and again
KEY_BYTES = 32
REDIS_URL_DEFAULT = "redis://127.0.0.1:6379/0"
_POSTGRES = {"postgres", "postgresql", "pgsql"}
_PLACEHOLDER = re.compile(
    r"change.?me|insecure|example|replace|building|for the test", re.IGNORECASE
)
_COMMIT = re.compile(r"synchronous_commit\s*=\s*'?(off|0|false|no)\b", re.IGNORECASE)
_FSYNC = re.compile(r"fsync\s*=\s*'?(off|0|false|no)\b", re.IGNORECASE)


def weaknesses(secrets: dict[str, str]) -> list[str]:
    """What is wrong with each of these secrets, by name, and with all of them together."""
    found = []
    for name, value in secrets.items():
        if len(value) < SECRET_CHARS_MIN:
            found.append(f"{name} needs {SECRET_CHARS_MIN} characters")
        elif len(set(value)) < DISTINCT_MIN or _PLACEHOLDER.search(value):
            found.append(f"{name} is a placeholder: make a random one")
    if len({value for value in secrets.values() if value}) < len(
        [v for v in secrets.values() if v]
    ):
        found.append(f"{' and '.join(secrets)} must differ")
    return found


def key_weaknesses(keys: list[str]) -> list[str]:
    """The same of the Fernet keys that upstream credentials are encrypted under."""
    if not keys:
        return ["TTONK_ENCRYPTION_KEYS needs a Fernet key"]
    for key in keys:
        try:
            raw = base64.urlsafe_b64decode(key)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != KEY_BYTES:
            return ["TTONK_ENCRYPTION_KEYS holds something that is no Fernet key"]
        # Random bytes are never all letters, and never so few different ones.
        if len(set(raw)) < DISTINCT_MIN or all(32 <= byte < 127 for byte in raw):
            return ["TTONK_ENCRYPTION_KEYS is a placeholder: make a random one"]
    return []


def store_dangers(database_url: str, redis_url: str) -> list[str]:
    """What the stores' addresses alone already tell."""
    found = []
    parts = urlsplit(database_url)
    if not database_url:
        found.append("DATABASE_URL is empty")
    elif parts.scheme not in _POSTGRES:
        found.append(f"DATABASE_URL must be PostgreSQL, not {parts.scheme or 'nothing'}")
    options = " ".join(" ".join(values) for values in parse_qs(parts.query).values())
    options += " " + parts.query
    if _COMMIT.search(options):
        found.append("synchronous_commit must stay on: acknowledged charges would be lost")
    if _FSYNC.search(options):
        found.append("fsync must stay on: acknowledged charges would be lost")
    if redis_url in ("", REDIS_URL_DEFAULT):
        found.append("REDIS_URL is not set: name the server that all processes share")
    return found


def host_dangers(hosts: list[str]) -> list[str]:
    if not any(host.strip() for host in hosts):
        return ["ALLOWED_HOSTS is empty"]
    if any(host.strip() in ("*", ".") for host in hosts):
        return ["ALLOWED_HOSTS must name hosts, not *"]
    return []
