"""A whole product to be hurt: its gateway reaches PostgreSQL through a proxy that can be stopped,
it has a Valkey of its own that can be stopped too, and its processes may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx

from config.launcher import ports, valkey
from tests import stack as stacks
from tests import stripe_server
from tests.journeys.books import Books, until
from tests.journeys.callers import NANOS, Caller
from tests.journeys.members import Member, sign_up
from tests.stack import PROJECT, Stack
from tests.upstream import ScriptedUpstream, add_channel_arguments, credential

# Small, so that a story can spend it: 0.01 USD.
WELCOME_NANOS = 10_000_000


@dataclass
class Laboratory:
    """The product, what it is made of, and ways to break that."""

    stack: Stack
    upstream: ScriptedUpstream
    books: Books
    valkey_pid: int
    proxy_pid: int
    # Where the product believes Stripe to be; a journey that pays starts a server there.
    stripe_url: str

    @contextmanager
    def frozen_database(self) -> Iterator[None]:
        """The gateway's PostgreSQL accepts and never answers; the worker's goes on."""
        with _stopped(self.proxy_pid):
            yield

    @contextmanager
    def frozen_valkey(self) -> Iterator[None]:
        with _stopped(self.valkey_pid):
            yield

    def readiness(self) -> tuple[int, dict[str, str]]:
        answer = httpx.get(f"{self.stack.base_url}/readyz", timeout=10, trust_env=False)
        return answer.status_code, answer.json()

    def is_ready(self) -> bool:
        try:
            return self.readiness()[0] == 200
        except httpx.HTTPError:
            return False

    def restart_gateway(self, **changes: str) -> None:
        """The gateway anew on its port, with these in its environment; stopped first if it runs."""
        if "gateway" in self.stack.processes:
            self.stack.stop("gateway")
        self.stack.gateway_environment = {**self.stack.gateway_environment, **changes}
        self.stack.start_gateway()

    def wait_settled(self, *, seconds: float) -> None:
        until(lambda: self.books.pending() == 0, "no hold is pending", seconds=seconds)

    def prove(self) -> None:
        """Fails with what `prove_ledger` printed where it finds anything."""
        assert self.stack.manage("prove_ledger")["ok"]

    def caller(self, key: str, base_url: str = "") -> Caller:
        return Caller(base_url or self.stack.base_url, key)

    def sign_up(self, email: str, organization: str) -> Member:
        return sign_up(self.stack.base_url, email, organization)

    def lay_unlimited_plan(self) -> str:
        """Its slug."""
        self.books.change(
            "INSERT INTO billing_plan (slug, name, fee_nanos_per_month, markup_ppm,"
            " body_bytes_max, is_public, position) VALUES ('unlimited', 'Unlimited', 0, 1000000,"
            " 1000000, false, 100) ON CONFLICT DO NOTHING"
        )
        return "unlimited"

    def enrol(self, organization: str, credit: str) -> Caller:
        """An organization with exactly this money, no limits, and a key of its own."""
        plan = self.lay_unlimited_plan()
        made = self.stack.manage(
            "create_organization", organization, "--owner", "bob@example.com",
            "--plan", plan, "--credit", credit,
        )  # fmt: skip
        key: dict[str, Any] = self.stack.manage("create_key", made["organization"])
        return self.caller(key["api_key"])


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def opened(folder: Path) -> Iterator[Laboratory]:
    """Built, serving three models from a scripted upstream, and taken apart at the end."""
    (folder / "logs").mkdir()
    cache = valkey.start(folder, "secret", None, lambda server: None)
    database = urlsplit(os.environ["DATABASE_URL"])
    name = f"ttonkapi_laboratory_{os.getpid()}"
    port = ports.pick()
    proxy = subprocess.Popen(
        [sys.executable, "-m", "tests.journeys.proxy", str(port), database.hostname or "127.0.0.1",
         str(database.port or 5432)],
        cwd=PROJECT,
    )  # fmt: skip
    proxied = database._replace(netloc=_netloc(database, port), path=f"/{name}")
    stripe_url = f"http://127.0.0.1:{ports.pick()}"
    stack: Stack | None = None
    try:
        stack = stacks.build(
            name, 0, folder, {"DATABASE_URL": urlunsplit(proxied)},
            REDIS_URL=valkey.url(cache, "secret"),
            TTONK_WELCOME_CREDIT_NANOS=str(WELCOME_NANOS), **credential(),
            **stripe_server.environment(stripe_url),
        )  # fmt: skip
        with ScriptedUpstream() as upstream:
            for model in NANOS:
                stack.manage(*add_channel_arguments(model, upstream))
            books = Books(stack.database_url)
            pid = cache["process"]["pid"]
            yield Laboratory(stack, upstream, books, pid, proxy.pid, stripe_url)
            books.connection.close()
    finally:
        if stack is not None:
            for running in list(stack.processes):
                stack.stop(running)
        proxy.kill()
        proxy.wait()
        valkey.stop(cache)


def _netloc(url: SplitResult, port: int) -> str:
    login, _, _ = url.netloc.rpartition("@")
    return f"{login}@127.0.0.1:{port}"
