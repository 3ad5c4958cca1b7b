"""The product as the input rounds meet it: one gateway, a scripted upstream, one rich customer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.launcher import valkey
from tests import stack as stacks
from tests.journeys.books import Books, until
from tests.journeys.callers import Caller
from tests.stack import Stack
from tests.upstream import ScriptedUpstream, add_channel_arguments, credential


@dataclass
class Target:
    """What a round attacks, and where it reads what came of that."""

    stack: Stack
    upstream: ScriptedUpstream
    books: Books
    key: str  # of an organization without limits, and with money
    organization: str
    redis_url: str

    @property
    def address(self) -> tuple[str, int]:
        where = urlsplit(self.stack.base_url)
        assert where.hostname and where.port
        return where.hostname, where.port

    def count(self, table: str) -> int:
        (row,) = self.books.rows(f"SELECT count(*) AS n FROM {table}")
        return int(row["n"])


@contextmanager
def opened(name: str, **changes: str) -> Iterator[Target]:
    """Built on a database and a Valkey of its own, and taken apart at the end. `changes` are in
    the environment of every process."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "logs").mkdir()
        cache = valkey.start(folder, "secret", None, lambda server: None)
        redis_url = valkey.url(cache, "secret")
        stack: Stack | None = None
        try:
            database = f"ttonkapi_{name}_{os.getpid()}"
            stack = stacks.build(
                database, 0, folder, None, REDIS_URL=redis_url, **credential(), **changes
            )
            with ScriptedUpstream() as upstream:
                yield _enrol(stack, upstream, redis_url)
        finally:
            if stack is not None:
                for running in list(stack.processes):
                    stack.stop(running)
            valkey.stop(cache)


def _enrol(stack: Stack, upstream: ScriptedUpstream, redis_url: str) -> Target:
    # One model is enough here, and every command is a process to wait for.
    stack.manage(*add_channel_arguments("qwen-plus", upstream))
    books = Books(stack.database_url)
    books.change(
        "INSERT INTO billing_plan (slug, name, fee_nanos_per_month, markup_ppm,"
        " body_bytes_max, is_public, position) VALUES ('unlimited', 'Unlimited', 0, 1000000,"
        " 1000000, false, 100)"
    )
    made: dict[str, Any] = stack.manage(
        "create_organization", "Alice at work", "--owner", "alice@example.com",
        "--plan", "unlimited", "--credit", "1000",
    )  # fmt: skip
    key: dict[str, Any] = stack.manage("create_key", made["organization"])
    caller = Caller(stack.base_url, key["api_key"])
    until(lambda: caller.ask().status_code == 200, "the channel is served")
    upstream.reset()
    return Target(stack, upstream, books, key["api_key"], made["organization"], redis_url)
