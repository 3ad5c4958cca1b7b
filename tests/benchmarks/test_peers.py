"""The comparison's own pieces work, without any peer installed. Nothing here measures."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import everything, goals, kernel, load, upstream, wire
from benchmarks.figures import summarize
from benchmarks.peers import catalog, measuring, packages, report, running, verdicts
from benchmarks.peers.measuring import DIRECT, OURS, Side
from config.launcher.folder import PROJECT


def _side(per_second: int, cpu_us: float, latency_ms: float, *, failed: int = 0) -> Side:
    cpu = {"gateway": per_second * cpu_us / 1e6, "upstream": 0.2, "load": 0.2, "machine": 2.0}
    times = [latency_ms] * per_second
    result = load.Result(1.0, per_second, failed, per_second * 53, times, times, cpu, {})
    return Side(summarize([result]), 50_000_000)


def _measured() -> dict[str, dict[str, Side]]:
    sides = {
        DIRECT: _side(10_000, 0, 1.0),
        OURS: _side(2_000, 400, 4.0),
        "nginx": _side(9_000, 50, 1.1),
        "LiteLLM": _side(70, 14_000, 31.0),
        "Portkey": _side(500, 1_500, 2.0),
        "one-api": _side(2_000, 500, 3.0),
    }
    return {case.name: sides for case in measuring.CASES}


def _by_goal(found: list[goals.Verdict]) -> dict[str, goals.Verdict]:
    return {verdict.goal: verdict for verdict in found}


def test_verdicts_compare_ours_with_theirs_both_ways():
    found = _by_goal(verdicts.verdicts(_measured(), {}))
    litellm = found["requests/s per core at 64, against LiteLLM"]
    assert litellm.is_met and litellm.figure == "28.57x: 2,000 by 70/s"
    assert found["CPU per request at 64, against nginx"].is_met
    assert found["latency added alone, p50, against LiteLLM"].figure == "0.10x: 3.00 by 30.00 ms"
    assert found["latency added alone, p50, against LiteLLM"].is_met
    assert not found["latency added alone, p50, against Portkey"].is_met
    assert not found["streams/s per core at 64, against LiteLLM"].is_met, "28 is not 40"
    assert found["first byte added, 16 paced streams, p50, against Portkey"].target == "<= 1/3x"


def test_verdicts_of_peers_that_were_not_measured_are_not_met_and_say_why():
    found = _by_goal(verdicts.verdicts(_measured(), {"ferrogw": "excluded: status 404"}))
    ferrogw = found["CPU per request at 64, against ferrogw"]
    assert not ferrogw.is_met and "status 404" in ferrogw.figure
    new_api = found["CPU per request at 64, against new-api"]
    assert not new_api.is_met and "one-api: 0.80x" in new_api.figure
    assert not found["CPU per request at 64, against Bifrost"].is_met
    assert len(found) == 11


def test_verdicts_do_not_count_where_requests_failed():
    measured = _measured()
    measured["whole-64"] = {**measured["whole-64"], "LiteLLM": _side(50, 14_000, 30, failed=3)}
    found = _by_goal(verdicts.verdicts(measured, {}))
    assert not found["requests/s per core at 64, against LiteLLM"].is_met


def _run(*, is_proven: bool = True) -> report.Run:
    measured = _measured()
    return report.Run(
        machine={"cpu": "c", "cores": 2, "kernel": "k", "python": "3", "load_average_before": 0,
                 "fsync_ms": 1},
        database={"fsync": "on"},
        pace=measuring.FULL,
        cases=measuring.CASES,
        measured=measured,
        idle_bytes=dict.fromkeys((OURS, "nginx", "LiteLLM"), 10_000_000),
        missing={"smg": "not to be had on this machine: no wheel"},
        proof={"ok": is_proven, "checks": [{"name": "charges", "checked": 7, "ok": True}]},
        verdicts=verdicts.verdicts(measured, {}),
    )  # fmt: skip


def test_report_has_a_row_for_each_gateway_and_a_word_on_each_missing_one():
    text = report.as_markdown(_run())
    assert text.count("| LiteLLM ") == len(measuring.CASES) + 1
    assert "28.57x" in text and "load side" not in text
    assert "- smg: not to be had on this machine: no wheel." in text
    assert "- Bifrost: not to be had" in text
    assert "7 charges" in text
    assert json.loads(report.as_json(_run()))["measured"]["whole-1"][OURS]["resident_bytes"] > 0


def test_report_does_not_count_where_the_ledger_is_wrong_or_ours_failed():
    assert _run().is_valid
    assert not _run(is_proven=False).is_valid
    run = _run()
    sides = {**run.measured["whole-1"], OURS: _side(10, 1, 1, failed=1)}
    failed = msgspec.structs.replace(run, measured={**run.measured, "whole-1": sides})
    assert not failed.is_valid and "Failed: whole-1, ttonkapi" in report.as_markdown(failed)
    sides = {**run.measured["whole-1"], "LiteLLM": _side(10, 1, 1, failed=1)}
    assert msgspec.structs.replace(run, measured={**run.measured, "whole-1": sides}).is_valid


def test_the_page_has_the_markers():
    page = (PROJECT / "docs" / "benchmarks.md").read_text()
    assert page.index(report.BEGIN) < page.index(report.END)


def test_every_peer_is_started_on_its_own_port_towards_the_upstream(tmp_path, monkeypatch):
    tables = tmp_path / "lib" / "python3" / "site-packages" / "litellm" / "core" / "tokenizers"
    tables.mkdir(parents=True)
    monkeypatch.setattr(catalog, "_install_litellm", lambda: tmp_path)
    for peer in catalog.PEERS:
        folder = tmp_path / peer.name
        folder.mkdir()
        start = peer.start(tmp_path / "program", folder, 40_001, 40_002)
        written = [path.read_text() for path in folder.iterdir()]
        said = json.dumps([start.command, start.environment, start.headers, written])
        assert "40001" in said, peer.name
        # one-api is told of its upstream once it runs.
        assert "40002" in said or peer.prepare is not None, peer.name


@pytest.fixture
async def answered(request):
    """A server that answers as `request.param` says: (status, whole's text, stream's text)."""
    status, whole, stream = request.param

    class Answering(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport, self.reader = transport, wire.RequestReader()

        def data_received(self, data):
            if found := self.reader.feed(data):
                body = (stream if b'"stream": true' in found[1] else whole).encode()
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n"
                self.transport.write(head.encode() + body)

    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


_STREAM = "data:  word0\n\ndata:  word49\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("answered", [(200, upstream.ANSWER, _STREAM)], indirect=True)
async def test_check_takes_a_gateway_that_relays_rightly(answered):
    await asyncio.to_thread(running.check, answered, {})


@pytest.mark.parametrize(
    "answered",
    [
        (404, upstream.ANSWER, _STREAM),
        (200, "another text", _STREAM),
        (200, upstream.ANSWER, _STREAM.replace("data: [DONE]\n\n", "")),
        (200, upstream.ANSWER, _STREAM.replace(" word49", "")),
    ],
    indirect=True,
)
async def test_check_refuses_a_gateway_that_does_not(answered):
    with pytest.raises(running.Wrong):
        await asyncio.to_thread(running.check, answered, {})


def test_an_installation_that_fails_says_why_without_naming_registries(tmp_path, monkeypatch):
    monkeypatch.setenv("TTONK_PEERS", str(tmp_path))
    code = "import sys; sys.exit('cannot read https://registry.example/x: refused')"
    with pytest.raises(packages.Absent, match="cannot read … refused"):
        packages._run([sys.executable, "-c", code])


def test_an_installation_happens_once_and_a_half_made_one_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("TTONK_PEERS", str(tmp_path))
    made: list[Path] = []

    def install(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)
        if len(made) == 1:
            raise packages.Absent("the network went away")

    with pytest.raises(packages.Absent):
        packages._once("x", ("1",), install)
    first = packages._once("x", ("1",), install)
    assert packages._once("x", ("1",), install) == first and len(made) == 2
    assert packages._once("x", ("2",), install) != first, "another recipe is another folder"


def test_request_reader_takes_a_chunked_body():
    reader = wire.RequestReader()
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert reader.feed(data[:-3]) is None
    head, body = reader.feed(data[-3:]) or (b"", b"")
    assert head.startswith(b"POST /") and b"abc" in body
    assert reader.feed(data) is not None


async def test_upstream_streams_as_the_models_name_says():
    server = await upstream.serve(0)
    port = server.sockets[0].getsockname()[1]
    body = b'{"model": "scripted-7x0", "stream": true}'
    async with server:
        read, write = await asyncio.open_connection("127.0.0.1", port)
        write.write(wire.request_bytes("/v1/chat/completions", body, {}))
        answer = await read.readuntil(wire.LAST_CHUNK)
        write.close()
    assert answer.count(b" word") == 7


class Silent(asyncio.Protocol):
    """Takes everything and says nothing."""


async def test_load_counts_requests_that_never_end_as_failures(monkeypatch):
    monkeypatch.setattr(load, "STUCK_SECONDS", 0.05)
    server = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0)
    job = load.Job(
        port=server.sockets[0].getsockname()[1], path="/", model="m", body_bytes=1,
        is_stream=False, concurrent=2, seconds=0.02, warm_seconds=0, keys=[""], watched={},
    )  # fmt: skip
    async with server:
        result = await load.run(job)
    assert (result.completed, result.failed, result.statuses) == (0, 2, {0: 2})


def test_a_process_started_on_a_core_stays_there():
    core = kernel.cores()[0]
    usable = os.sched_getaffinity(0)
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    with kernel.pinned(core):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert os.sched_getaffinity(0) == usable
    assert json.loads(done.stdout) == ([core] if core is not None else sorted(usable))


def test_everything_turns_a_measurement_without_verdicts_into_a_goal_not_met(tmp_path):
    status, found = everything._measure("benchmarks.no_such_module", [], tmp_path)
    assert status != 0
    assert [verdict.is_met for verdict in found] == [False]
    assert goals.closing(found) == "goals: 0 of 1 met"


def test_everything_leaves_out_what_it_is_told_to():
    assert everything.existing(["benchmarks.peers"])[0] == "benchmarks"
    assert "benchmarks.peers" not in everything.existing(["benchmarks.peers"])
