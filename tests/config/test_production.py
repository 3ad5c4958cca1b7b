"""Production refuses to start with anything unsafe, and says what."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.core.checks import run_checks
from django.db import connection

from config.settings import safety
from tests.stack import PROJECT

GOOD = {
    "SECRET_KEY": "q7Zk2vX9pL4mN8bT1cR6wY3sD5fG0hJa-uEoI",
    "TTONK_KEY_PEPPER": "B4nM7kQ1zX8vL2pT9wR5yS3dF6gH0jKc_aUe",
    "TTONK_ENCRYPTION_KEYS": "jv8GBkxL2n0Qe5Z1rYtTq9uWc3mHsXa7pKdVfOiEbAg=",
    "ALLOWED_HOSTS": "api.ttonk.test",
    "DATABASE_URL": "postgres://ttonkapi:secret@db.internal:5432/ttonkapi",
    "REDIS_URL": "redis://valkey.internal:6379/0",
}
COMMIT = "?options=-c%20synchronous_commit%3D"
WRONG: list[tuple[str, str | None, str]] = [
    ("DEBUG", "on", "DEBUG must be off"),
    ("SECRET_KEY", None, "SECRET_KEY needs 32 characters"),
    ("SECRET_KEY", "short", "SECRET_KEY needs 32 characters"),
    ("SECRET_KEY", "abc" * 20, "SECRET_KEY is a placeholder"),
    ("SECRET_KEY", "django-insecure-q7Zk2vX9pL4mN8bT1cR6wY3s", "SECRET_KEY is a placeholder"),
    ("SECRET_KEY", GOOD["TTONK_KEY_PEPPER"], "must differ"),
    ("TTONK_KEY_PEPPER", None, "TTONK_KEY_PEPPER needs 32 characters"),
    ("TTONK_KEY_PEPPER", "short", "TTONK_KEY_PEPPER needs 32 characters"),
    ("TTONK_KEY_PEPPER", "for the test suite only, and nowhere else", "is a placeholder"),
    ("TTONK_ENCRYPTION_KEYS", None, "needs a Fernet key"),
    ("TTONK_ENCRYPTION_KEYS", "not-a-key", "no Fernet key"),
    ("TTONK_ENCRYPTION_KEYS", "dGVzdHMgb25seSB0ZXN0cyBvbmx5IHRlc3RzIG9ubHk=", "is a placeholder"),
    ("TTONK_ENCRYPTION_KEYS", "A" * 43 + "=", "is a placeholder"),
    ("ALLOWED_HOSTS", None, "ALLOWED_HOSTS is empty"),
    ("ALLOWED_HOSTS", "", "ALLOWED_HOSTS is empty"),
    ("ALLOWED_HOSTS", "api.ttonk.test,*", "ALLOWED_HOSTS must name hosts"),
    ("DATABASE_URL", None, "DATABASE_URL is empty"),
    ("DATABASE_URL", "sqlite:///db.sqlite3", "DATABASE_URL must be PostgreSQL"),
    ("DATABASE_URL", GOOD["DATABASE_URL"] + COMMIT + "off", "synchronous_commit must stay on"),
    ("DATABASE_URL", GOOD["DATABASE_URL"] + COMMIT.replace("%3D", "=") + "off", "must stay on"),
    ("REDIS_URL", None, "REDIS_URL is not set"),
    ("REDIS_URL", safety.REDIS_URL_DEFAULT, "REDIS_URL is not set"),
]


def _start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items()
        if name not in GOOD and name not in ("DEBUG", "DJANGO_SETTINGS_MODULE")
    }  # fmt: skip
    chosen = {**GOOD, "DJANGO_SETTINGS_MODULE": "config.settings.production", **changes}
    environment |= {name: value for name, value in chosen.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", "import config.settings.production"],
        env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_production_starts_with_everything_set() -> None:
    assert _start().returncode == 0, _start().stderr


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_production_refuses_to_start_with(name: str, value: str | None, reason: str) -> None:
    done = _start(**{name: value})
    assert done.returncode != 0
    assert "Not starting: " in done.stderr
    assert reason in done.stderr
    assert GOOD["TTONK_KEY_PEPPER"] not in done.stderr, "no secret is told"


def test_production_names_everything_that_is_wrong_at_once() -> None:
    done = _start(SECRET_KEY=None, ALLOWED_HOSTS="*", REDIS_URL=None)
    for reason in ("SECRET_KEY", "ALLOWED_HOSTS", "REDIS_URL"):
        assert reason in done.stderr.splitlines()[-1]


@pytest.mark.django_db
def test_the_check_passes_a_durable_database_and_refuses_one_that_is_not() -> None:
    assert run_checks(tags=["database"], databases=["default"]) == []
    with connection.cursor() as cursor:
        for value in ("off", "local"):
            cursor.execute(f"SET LOCAL synchronous_commit = {value}")
            (error,) = run_checks(tags=["database"], databases=["default"])
            assert error.id == "billing.E003"
            assert value in error.msg


def test_migrate_refuses_a_database_that_may_lose_what_it_acknowledged() -> None:
    environment = os.environ | {
        "PGOPTIONS": "-c synchronous_commit=off", "DJANGO_SETTINGS_MODULE": "config.settings.test",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--plan"],
        env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "billing.E003" in done.stderr
