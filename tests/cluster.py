"""Production's topology as processes: `make cluster`, with a scripted upstream behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit, urlunsplit

from config.launcher import balancer, folder, ports, processes
from tests import stack as stacks
from tests.journeys.books import Books, until
from tests.journeys.callers import Caller, Stream, request_id
from tests.scripts import Script
from tests.stack import PROJECT, Stack
from tests.upstream import ScriptedUpstream, add_channel_arguments, credential

MODEL = "qwen-plus"
START_SECONDS = 120.0
RESTART_SECONDS = 240.0
SHORT = Script(chunks=3)
LONG = Script(chunks=40, gap_ms=100)  # four seconds: begun before a gateway leaves, ended after
ASKING, STREAMING = 4, 4
REDIS_NUMBER = stacks.REDIS_NUMBER_FIRST + 40


@dataclass
class Cluster:
    """What runs, and the ways to reach it."""

    stack: Stack
    books: Books
    data: Path
    launcher: subprocess.Popen[bytes]

    def gateways(self) -> dict[str, processes.Record]:
        children = folder.read(self.data / "run.json")["children"]
        return {name: children[name] for name in balancer.GATEWAYS}

    def caller(self) -> Caller:
        """A customer without limits and with money."""
        made = self.stack.manage(
            "create_organization", "Alice at work", "--owner", "alice@example.com",
            "--plan", "unlimited", "--credit", "100",
        )  # fmt: skip
        key = self.stack.manage("create_key", made["organization"])
        return Caller(self.stack.base_url, key["api_key"])


@contextmanager
def opened(data: Path) -> Iterator[Cluster]:
    """On the data folder `data`; taken apart at the end."""
    balancer.find()  # installed here as root, or this fails with what to install
    outer = urlsplit(os.environ["DATABASE_URL"])
    name = f"ttonkapi_cluster_{os.getpid()}"
    stacks.create_database(urlunsplit(outer), name)
    redis = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{REDIS_NUMBER}")
    port = ports.pick()
    environment = os.environ | credential() | {
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "DATABASE_URL": urlunsplit(outer._replace(path=f"/{name}")),
        "REDIS_URL": urlunsplit(redis),
        "TTONK_DATA": str(data),
        "TTONK_BASE_URL": f"http://127.0.0.1:{port}",
        # The models asked here have an upstream; a local one is not worth its start.
        "TTONK_LOCAL_MODEL_URL": "http://127.0.0.1:1/v1",
        "PORT": str(port),
    }  # fmt: skip
    log = data / "launcher.log"
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "config.launcher", "cluster"],
            env=environment, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    stack = Stack(f"http://127.0.0.1:{port}", environment["DATABASE_URL"], urlunsplit(redis),
                  environment, data)  # fmt: skip
    try:
        until(lambda: "is ready" in log.read_text() or launcher.poll() is not None,
              "the cluster is ready", seconds=START_SECONDS)  # fmt: skip
        assert launcher.poll() is None, log.read_text()
        books = Books(stack.database_url)
        books.change(
            "INSERT INTO billing_plan (slug, name, fee_nanos_per_month, markup_ppm,"
            " body_bytes_max, is_public, position)"
            " VALUES ('unlimited', 'Unlimited', 0, 1000000, 1000000, false, 100)"
        )
        with ScriptedUpstream() as upstream:
            stack.manage(*add_channel_arguments(MODEL, upstream))
            yield Cluster(stack, books, data, launcher)
        books.connection.close()
    finally:
        launcher.terminate()
        try:
            ended = launcher.wait(90)
        except subprocess.TimeoutExpired:
            launcher.kill()
            raise
    assert ended == 0, log.read_text()
    assert not list(data.glob("spool*/*")), "nothing is left to be charged"


@dataclass
class Load:
    """What the clients of one story saw."""

    caller: Caller
    enough: Event = field(default_factory=Event)
    whole: list[str] = field(default_factory=list)
    streamed: list[str] = field(default_factory=list)

    def ask(self) -> None:
        """One after the other on one connection; raises at the first that is not answered."""
        mine = Caller(self.caller.base_url, self.caller.key)
        while not self.enough.is_set():
            answer = mine.ask(SHORT, MODEL)
            assert answer.status_code == 200, (answer.status_code, answer.text)
            self.whole.append(request_id(answer))
            time.sleep(0.02)

    def stream(self) -> None:
        mine = Caller(self.caller.base_url, self.caller.key)
        while not self.enough.is_set():
            ended = self._stream_once(mine)
            assert ended.is_done
            assert ended.error is None
            assert len(ended.texts) == LONG.chunks
            self.streamed.append(ended.request_id)

    def _stream_once(self, mine: Caller) -> Stream:
        with mine.stream(LONG, MODEL) as running:
            return running.read()


def restart_under_load(cluster: Cluster) -> tuple[Load, subprocess.CompletedProcess[str]]:
    """A rolling restart while clients ask and stream: what they saw, and what the command said.
    Raises what a client raised."""
    load = Load(cluster.caller())
    with ThreadPoolExecutor(ASKING + STREAMING) as threads:
        clients = [threads.submit(load.ask) for _ in range(ASKING)]
        clients += [threads.submit(load.stream) for _ in range(STREAMING)]
        try:
            until(lambda: len(load.whole) > ASKING, "the load runs")
            time.sleep(1)  # the streams too
            restarted = subprocess.run(
                [sys.executable, "-m", "config.launcher", "cluster", "restart"],
                env=cluster.stack.environment, cwd=PROJECT, capture_output=True, text=True,
                timeout=RESTART_SECONDS, check=False,
            )  # fmt: skip
            time.sleep(1)
        finally:
            load.enough.set()
        for client in clients:
            client.result(60)
    return load, restarted
