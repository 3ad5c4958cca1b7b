"""A product of a round's own: gateways on a database and a Valkey that nobody else uses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from config.launcher import ports, valkey
from tests import stack as stacks
from tests.journeys.books import Books, until
from tests.journeys.callers import NANOS
from tests.stack import PROJECT, Stack
from tests.upstream import CREDENTIAL_VARIABLE, credential

OPERATE_SECONDS = 180
_PASSWORD = "secret"


@dataclass(frozen=True)
class Customer:
    """An organization without other limits than its money, and one key of it."""

    name: str
    organization: int
    key: str


@dataclass
class Arena:
    """What a round happens in. `urls` are its gateways', without /v1."""

    stack: Stack
    books: Books
    urls: list[str]
    valkey_url: str

    def operate(self, *commands: Sequence[str]) -> list[Any]:
        """Run manage.py commands in one process; their JSON answers."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.operate"],
            input=json.dumps(commands), env=self.stack.environment, cwd=PROJECT,
            capture_output=True, text=True, timeout=OPERATE_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        answers: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return answers

    def enrol(self, name: str, credit_nanos: int, *limits: str) -> Customer:
        """`limits` go to create_key: `"--tpm", "10000"`."""
        self.books.change(
            "INSERT INTO billing_plan (slug, name, fee_nanos_per_month, markup_ppm,"
            " body_bytes_max, is_public, position) VALUES ('unlimited', 'Unlimited', 0, 1000000,"
            " 4000000, false, 100) ON CONFLICT DO NOTHING"
        )
        credit = f"{credit_nanos // 10**9}.{credit_nanos % 10**9:09d}"
        made, key = self.operate(
            ["create_organization", name, "--owner", "bob@example.com", "--plan", "unlimited",
             "--credit", credit],
            ["create_key", name, *limits],
        )  # fmt: skip
        return Customer(name, int(made["id"]), str(key["api_key"]))

    def serve_from(self, base_url: str) -> None:
        """Have every model of `NANOS` answered by this upstream."""
        self.operate(
            *[
                ["add_channel", model, "--base-url", base_url, "--upstream-model", model,
                 "--credential-env", CREDENTIAL_VARIABLE]
                for model in NANOS
            ]
        )  # fmt: skip

    def start_others(self, count: int) -> None:
        """This many more gateways, all at once."""
        urls = [f"http://127.0.0.1:{ports.pick()}" for _ in range(count)]
        with ThreadPoolExecutor(max(count, 1)) as threads:
            names = [f"gateway-{at + 2}" for at in range(count)]
            list(threads.map(self.stack.start_another_gateway, names, urls))
        self.urls += urls

    def wait_settled(self, *, seconds: float) -> None:
        until(lambda: self.books.pending() == 0, "no hold is pending", seconds=seconds)

    def is_proven(self) -> bool:
        """Whether `prove_ledger` finds sums, balances and every charge right."""
        done = subprocess.run(
            [sys.executable, "manage.py", "prove_ledger", "--json"],
            env=self.stack.environment, cwd=PROJECT, capture_output=True, text=True,
            timeout=OPERATE_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            print(done.stdout[-3000:], done.stderr[-2000:])
        return done.returncode == 0

    def pid(self, name: str = "gateway") -> int:
        return self.stack.processes[name].pid


@contextmanager
def opened(name: str, **environment: str) -> Iterator[Arena]:
    """Built with one gateway; every process of it is gone, and its database dropped, after."""
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{name}-", dir=os.environ["TTONK_DATA"]))
    folder.chmod(0o711)  # the store may run as another account
    (folder / "logs").mkdir()
    cache = valkey.start(folder, _PASSWORD, None, lambda server: None)
    database = f"ttonkapi_faults_{name}_{os.getpid()}"
    stack: Stack | None = None
    books: Books | None = None
    try:
        valkey_url = valkey.url(cache, _PASSWORD)
        stack = stacks.build(
            database, 0, folder, None, **environment, **credential(), REDIS_URL=valkey_url
        )
        books = Books(stack.database_url)
        yield Arena(stack, books, [stack.base_url], valkey_url)
    finally:
        if books is not None:
            books.connection.close()
        for running in list(stack.processes) if stack is not None else ():
            stack.stop(running)  # type: ignore[union-attr]
        valkey.stop(cache)
        _drop(database)
        shutil.rmtree(folder, ignore_errors=True)


def _drop(database: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )
