"""What a gateway meets when it starts on a full database, and how few connections it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import msgspec
import psycopg
from psycopg import sql

from benchmarks import figures, product, seed
from benchmarks.goals import Verdict
from benchmarks.load import Job, Result
from benchmarks.scale import sides
from benchmarks.scale.sides import Side
from config.launcher import folder

STREAMS = 500
CONNECTIONS_MAX = 20
RATIO_MAX = 1.2
LOOKUPS_SECONDS = 60.0
_ROLE = "scale_limited"


class Start(msgspec.Struct, frozen=True):
    """Seconds from the process's start to ready, and milliseconds of each key's first look-up."""

    name: str
    seconds: float
    lookup_p50_ms: float
    lookup_p99_ms: float


class Streams(msgspec.Struct, frozen=True):
    """Streams at once through a gateway whose database role may have few connections."""

    concurrent: int
    completed: int
    failed: int
    statuses: dict[int, int]
    connections_limit: int
    connections_most: int


def measure(data: Path, side: Side) -> Start:
    """A gateway's start, the better of two; then each known key once."""
    taken = []
    for _ in range(2):
        began = time.monotonic()
        with sides.gateway(data, side, f"gateway-start-{side.name}", core=None):
            taken.append(time.monotonic() - began)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.lookups"],
        cwd=folder.PROJECT, env=os.environ | side.environment, text=True, check=False,
        input=json.dumps(side.filled.keys[1:]), stdout=subprocess.PIPE, timeout=LOOKUPS_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise product.Broken("looking up keys failed; see above")
    looked_up: list[float] = json.loads(done.stdout)
    return Start(
        side.name, min(taken), figures.percentile(looked_up, 50), figures.percentile(looked_up, 99)
    )


def measure_streams(data: Path, side: Side, load: Popen[str]) -> Streams:
    """Streams of four seconds, all open at once, through a gateway of a role that PostgreSQL
    refuses more than the goal's connections."""
    owner, _, database = side.database_url.rpartition("/")
    limited = f"postgres://{_ROLE}:{_ROLE}@{owner.rpartition('@')[2]}/{database}"
    with psycopg.connect(side.database_url, autocommit=True) as connection:
        _make_role(connection)
        with sides.gateway(
            data, side, "gateway-limited", core=None, DATABASE_URL=limited
        ) as running:
            job = running.job(
                model=seed.SLOW, concurrent=STREAMS, seconds=9.0, warm=1.0, is_stream=True,
                keys=side.filled.keys[1:], watched={"upstream": running.pid},
            )  # fmt: skip
            result, most = _watched(load, job, connection)
    return Streams(STREAMS, result.completed, result.failed, result.statuses, CONNECTIONS_MAX, most)


def _make_role(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """No superuser: those are not bound by the limit."""
    name = sql.Identifier(_ROLE)
    for statement in (
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
            name, sql.Literal(_ROLE), sql.Literal(CONNECTIONS_MAX)
        ),
        sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(name),
        sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(name),
    ):
        connection.execute(statement)


def _watched(
    load: Popen[str], job: Job, connection: psycopg.Connection[tuple[object, ...]]
) -> tuple[Result, int]:
    """The job's result, and the most connections the role had meanwhile."""
    over, most = threading.Event(), [0]

    def count() -> None:
        while not over.wait(0.2):
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [_ROLE]
            ).fetchone()
            most.append(int(str(row[0])) if row else 0)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        product.send(load, job)
        result = product.receive(load)
    finally:
        over.set()
        counter.join()
    return result, max(most)


def verdicts(empty: Start, full: Start, streams: Streams, keys: int) -> Iterator[Verdict]:
    ratio = full.lookup_p50_ms / empty.lookup_p50_ms
    yield Verdict(
        goal=f"a key's first look-up among {keys:,}, full against empty database",
        target=f"p50 <= {RATIO_MAX}x",
        figure=f"{ratio:.2f}x ({full.lookup_p50_ms:.2f} ms; p99 {full.lookup_p99_ms:.2f} ms)",
        is_met=ratio <= RATIO_MAX,
    )
    ratio = full.seconds / empty.seconds
    yield Verdict(
        goal="a gateway's start, full against empty database",
        target=f"<= {RATIO_MAX}x",
        figure=f"{ratio:.2f}x ({full.seconds:.1f} s)",
        is_met=ratio <= RATIO_MAX,
    )
    yield Verdict(
        goal=f"{streams.concurrent} concurrent streams on {streams.connections_limit}"
        " database connections",
        target="no failure",
        figure=f"{streams.completed:,} completed, {streams.failed} failed,"
        f" {streams.connections_most} connections at most",
        is_met=streams.failed == 0
        and streams.completed >= streams.concurrent
        and streams.connections_most <= streams.connections_limit,
    )
