"""The same product twice on one PostgreSQL and one Valkey: with a history, and without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql

from benchmarks import kernel, product
from benchmarks.load import Job
from benchmarks.scale.fill import Filled, Size
from config.launcher import folder

FILL_SECONDS = 3_000.0
CHAT = "/v1/chat/completions"


@dataclass
class Side:
    """One database and what was put into it."""

    name: str
    environment: dict[str, str]
    filled: Filled

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]


@dataclass
class Running:
    """A gateway on one side's database."""

    side: Side
    pid: int
    port: int

    def job(
        self, *, model: str, concurrent: int, seconds: float, keys: list[str], warm: float = 0.4,
        is_stream: bool = False, watched: dict[str, int],
    ) -> Job:  # fmt: skip
        return Job(
            port=self.port, path=CHAT, model=model, body_bytes=1_000, is_stream=is_stream,
            concurrent=concurrent, seconds=seconds, warm_seconds=warm, keys=keys,
            watched={"gateway": self.pid, **watched},
        )  # fmt: skip


def make(name: str, number: int, size: Size, upstream_port: int) -> Side:
    """Fill a database of its own, in a process of its own. Raises `product.Broken`."""
    environment = _environment(name, number)
    arguments = map(str, (upstream_port, size.rows, size.organizations, size.keys))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale.fill", *arguments],
            cwd=folder.PROJECT, env=os.environ | environment, stdout=subprocess.PIPE,
            timeout=FILL_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise product.Broken(f"filling took longer than {FILL_SECONDS:g} s") from None
    if done.returncode:
        raise product.Broken("filling failed; see above")
    return Side(name, environment, msgspec.json.decode(done.stdout.splitlines()[-1], type=Filled))


def _environment(name: str, number: int) -> dict[str, str]:
    """A database and a Valkey database of its own; made where it is not there."""
    postgres, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    valkey, _, _ = os.environ["REDIS_URL"].rpartition("/")
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"scale_{name}")))
    urls = {"DATABASE_URL": f"{postgres}/scale_{name}", "REDIS_URL": f"{valkey}/{number}"}
    return urls | {"CELERY_BROKER_URL": urls["REDIS_URL"]}


@contextmanager
def gateway(
    data: Path, side: Side, name: str, *, core: int | None, **more: str
) -> Iterator[Running]:
    """A gateway on `side`, for the block's time. Its spool is its own."""
    spool = {"TTONK_SPOOL_DIR": str(data / f"spool-{name}")}
    with product.gateway(data, core=core, name=name, more=side.environment | spool | more) as at:
        yield Running(side, *at)


def cores() -> tuple[int | None, int | None]:
    return kernel.cores()
