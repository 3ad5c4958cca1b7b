"""`make cluster`: production's topology as processes, and what its restarts cost a client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest

from config.launcher import balancer, folder, ports, processes, tools
from tests import stack as stacks
from tests.journeys.books import Books, until
from tests.journeys.callers import Caller, Stream, price, request_id
from tests.scripts import PROMPT_TOKENS, Script
from tests.stack import PROJECT, Stack
from tests.upstream import ScriptedUpstream, add_channel_arguments, credential

pytestmark = pytest.mark.xdist_group("cluster")

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


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    balancer.find()  # installed here as root, or the test fails with what to install
    data = tmp_path_factory.mktemp("cluster")
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


def test_a_rolling_restart_fails_no_request_and_every_one_is_charged(cluster: Cluster) -> None:
    before = cluster.gateways()
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
    said = restarted.stdout + (cluster.data / "launcher.log").read_text()[-2000:]
    assert restarted.returncode == 0, said
    after = cluster.gateways()
    assert all(before[name]["pid"] != after[name]["pid"] for name in before)
    assert "ended (" not in said, "none died"
    assert len(load.streamed) >= 2 * STREAMING, "some before, some after"
    for ids, tokens in ((load.whole, SHORT.chunks), (load.streamed, LONG.chunks)):
        for each in ids:
            assert cluster.books.charged(each) == price(MODEL, PROMPT_TOKENS, tokens)
    assert cluster.stack.manage("prove_ledger")["ok"]
    print(f"restarted under load: {len(load.whole)} requests, {len(load.streamed)} streams,"
          " 0 failed, all charged")  # fmt: skip


def test_the_balancer_holds_no_part_of_a_stream_back(cluster: Cluster) -> None:
    with cluster.caller().stream(Script(chunks=20, gap_ms=100), MODEL) as running:
        began = time.monotonic()
        running.read(3)
        assert time.monotonic() - began < 1
        running.read()
        assert time.monotonic() - began > 1.5
    assert running.is_done


def test_a_killed_gateway_is_out_of_service_within_two_seconds_and_comes_back(
    cluster: Cluster,
) -> None:
    caller = cluster.caller()
    killed = cluster.gateways()["gateway-1"]
    os.kill(killed["pid"], signal.SIGKILL)
    until(lambda: balancer.in_service(cluster.data) == {"gateway-2"}, "it is out", seconds=2)
    assert [caller.ask(SHORT, MODEL).status_code for _ in range(50)] == [200] * 50
    until(lambda: balancer.in_service(cluster.data) == set(balancer.GATEWAYS)
          and cluster.gateways()["gateway-1"]["pid"] != killed["pid"],
          "both serve again", seconds=60)  # fmt: skip


def test_the_balancer_tells_nobody_outside_the_figures(cluster: Cluster) -> None:
    assert httpx.get(f"{cluster.stack.base_url}/metrics", trust_env=False).status_code == 404
    assert httpx.get(f"{cluster.stack.base_url}/readyz", trust_env=False).status_code == 200


def test_a_machine_without_the_balancer_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(balancer, "_on_disk", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(tools.Absent, match="apt-get install haproxy"):
        balancer.find()
