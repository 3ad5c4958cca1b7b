"""The benchmarks' own pieces work. Nothing here measures: figures are for quiet machines."""

import asyncio
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from benchmarks import bodies, figures, kernel, load, report, upstream, wire
from benchmarks.cases import CASES, FULL, Measured, Memory
from config.launcher.folder import PROJECT


@pytest.fixture(scope="module")
def upstream_port() -> Iterator[int]:
    """The scripted upstream as the benchmarks start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.upstream"],
        cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    yield int(process.stdout.readline())
    process.stdin.close()
    assert process.wait(5) == 0, "it ends when its stdin does"


def _client(port: int, script: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="any", base_url=f"http://127.0.0.1:{port}/{script}/v1")


_ASK: list[Any] = [{"role": "user", "content": "Where is my parcel?"}]


def test_upstream_answers_the_official_sdk_whole(upstream_port):
    answer = _client(upstream_port, "50x0").chat.completions.create(model="m", messages=_ASK)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.choices[0].message.content or "").startswith("Your order")
    assert answer.usage and answer.usage.total_tokens == upstream.PROMPT_TOKENS + 64


@pytest.mark.parametrize("script", ["5x0", "5x1"])
def test_upstream_streams_to_the_official_sdk_as_its_path_says(upstream_port, script):
    stream = _client(upstream_port, script).chat.completions.create(
        model="m", messages=_ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == [*(f" word{index}" for index in range(5)), None]
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 5


def test_upstream_leaves_usage_out_where_it_was_not_asked_for(upstream_port):
    stream = _client(upstream_port, "2x0").chat.completions.create(
        model="m", messages=_ASK, stream=True
    )
    assert all(chunk.choices and chunk.usage is None for chunk in stream)


@pytest.mark.parametrize(("is_stream", "path"), [(False, "/9x0/v1"), (True, "/9x0/v1")])
async def test_load_counts_what_the_upstream_answered(upstream_port, is_stream, path):
    job = load.Job(
        port=upstream_port, path=path, model="m", body_bytes=1000, is_stream=is_stream,
        concurrent=3, seconds=0.2, warm_seconds=0.05, keys=["one", "two"],
        watched={"own": os.getpid()}, watch_memory="own",
    )  # fmt: skip
    result = await load.run(job)
    assert result.completed > 0 and result.failed == 0 and result.statuses == {}
    assert len(result.latencies_ms) == len(result.first_bytes_ms) == result.completed
    assert result.events >= result.completed * 12 - 12 * 3 if is_stream else result.events == 0
    assert result.resident_bytes > 0 and result.cpu_seconds["own"] >= 0


class Refusing(asyncio.Protocol):
    """Answers every request with a 429."""

    def connection_made(self, transport):
        self.transport, self.reader = transport, wire.RequestReader()

    def data_received(self, data):
        if self.reader.feed(data):
            self.transport.write(b"HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n")


async def test_load_counts_refusals_as_failures():
    server = await asyncio.get_running_loop().create_server(Refusing, "127.0.0.1", 0)
    job = load.Job(
        port=server.sockets[0].getsockname()[1], path="/", model="m", body_bytes=1,
        is_stream=False, concurrent=1, seconds=0.05, warm_seconds=0, keys=[""], watched={},
    )  # fmt: skip
    async with server:
        result = await load.run(job)
    assert result.completed == 0
    assert result.statuses == {429: result.failed}


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_reply_reader_finds_the_end_however_the_bytes_arrive(size):
    whole = upstream.whole_reply()
    stream = upstream._STREAM_HEAD + b"".join(upstream.stream_events(3, with_usage=True))
    reader = wire.ReplyReader()
    for data, events in ((whole, 0), (stream, 6)):
        reader.reset()
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        assert [reader.feed(part) for part in parts] == [False] * (len(parts) - 1) + [True]
        assert reader.status == 200 and reader.has_body
        assert reader.is_done == bool(events)
        # An event whose mark falls between two reads is not counted; whole reads are.
        assert reader.events == events or size < len(data)


def test_reply_reader_tells_a_stream_without_an_end():
    data = upstream._STREAM_HEAD + upstream._event([]) + wire.LAST_CHUNK
    reader = wire.ReplyReader()
    assert reader.feed(data) and not reader.is_done


def test_request_reader_returns_requests_one_by_one():
    reader, data = wire.RequestReader(), wire.request_bytes("/x", b"12345", {"A": "b"})
    assert reader.feed(data[:-2]) is None
    head, body = reader.feed(data[-2:]) or (b"", b"")
    assert head.startswith(b"POST /x HTTP/1.1\r\n") and b"\r\nA: b" in head and body == b"12345"
    assert reader.feed(data) is not None


@pytest.mark.parametrize("size", [1_000, 20_000, 200_000])
def test_bodies_have_the_size_they_are_named_for(size):
    assert size <= len(bodies.chat("m", size, is_stream=True)) <= size + 2_500


def test_percentile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 101)]
    assert figures.percentile(values, 50) == 50
    assert figures.percentile(values, 99) == 99
    assert figures.percentile([7.0], 99) == 7
    assert math.isnan(figures.percentile([], 50))


def test_median_leaves_out_rounds_without_a_value():
    assert figures.median([1.0, math.nan, 3.0]) == 2.0


def _result(cpu: float, completed: int = 100) -> load.Result:
    times = [float(value) for value in range(completed)]
    watched = {"gateway": cpu, "upstream": 0.5, "load": 0.45, "postgres": 0.1}
    watched["machine"] = sum(watched.values()) + 0.25
    return load.Result(1.0, completed, 0, completed * 53, times, times, watched, {})


def test_summary_takes_medians_over_rounds_and_tells_who_was_the_limit():
    found = figures.summarize([_result(0.01), _result(0.03), _result(0.02)])
    assert found.gateway_cpu_us == pytest.approx(200)
    assert found.chunk_cpu_us == pytest.approx(200 / 53)
    assert found.completed == 300
    assert found.is_load_limited
    assert found.stores_cpu_us == pytest.approx(1000)
    assert found.others_cpu_share == pytest.approx(0.25)


def test_kernel_accounts_a_process_and_its_children():
    before = kernel.cpu_seconds(os.getpid())
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    thread = threading.Thread(target=lambda: subprocess.run([sys.executable, "-c", burn]))
    thread.start()
    thread.join()
    assert kernel.cpu_seconds(os.getpid()) - before >= 0.25
    assert kernel.resident_bytes(os.getpid()) > 1_000_000


def _run(*, is_proven: bool) -> report.Run:
    one = figures.summarize([_result(0.02)])
    checks = [{"name": "balanced", "checked": 5, "ok": is_proven}]
    return report.Run(
        machine={"cpu": "c", "cores": 2, "kernel": "k", "python": "3", "load_average_before": 0,
                 "fsync_ms": 1},
        database={"fsync": "on"},
        pace=FULL,
        measured=[Measured(case, one, one if case.has_direct else None) for case in CASES],
        memory=Memory(10, 15, 20, 30, 40),
        proof={"ok": is_proven, "checks": checks},
        failures=[],
        is_pinned=True,
    )  # fmt: skip


def test_report_says_when_the_ledger_is_wrong():
    assert "The ledger is proven" in report.as_markdown(_run(is_proven=True))
    wrong = _run(is_proven=False)
    assert "these figures do not count" in report.as_markdown(wrong)
    assert not wrong.is_valid
    assert b'"proof"' in report.as_json(wrong)


def test_report_replaces_only_what_stands_between_the_markers(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_between_markers(page, "new")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnew\n{report.END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="has no"):
        report.write_between_markers(page, "new")


def test_the_customers_page_has_the_markers():
    page = (PROJECT / "docs" / "benchmarks.md").read_text()
    assert page.index(report.BEGIN) < page.index(report.END)
