"""`make cluster`: production's topology as processes, and what its restarts cost a client."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from config.launcher import balancer, tools
from tests import cluster as clusters
from tests.cluster import LONG, MODEL, SHORT, STREAMING, Cluster, restart_under_load
from tests.journeys.books import until
from tests.journeys.callers import price
from tests.scripts import PROMPT_TOKENS, Script

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with clusters.opened(tmp_path_factory.mktemp("cluster")) as opened:
        yield opened


def test_a_rolling_restart_fails_no_request_and_every_one_is_charged(cluster: Cluster) -> None:
    before = cluster.gateways()
    load, restarted = restart_under_load(cluster)
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
