"""What a gateway counts, over the wire as Prometheus reads it, and who may read it."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config import worker_metrics
from gateway import definitions, exposition
from gateway.metrics import Histogram
from tests.gateway.wire import Wire
from tests.scripts import PROMPT_TOKENS, Script

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _read(http: httpx.Client) -> Numbers:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


class Moved:
    """By how much each number moved since."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._before = _read(http)

    def by(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return _read(self._http).get(key, 0) - self._before.get(key, 0)


@pytest.fixture
def moved(wire: Wire) -> Moved:
    return Moved(wire.http)


def test_a_request_moves_requests_tokens_spend_and_times(wire: Wire, moved: Moved) -> None:
    charge = wire.chat(Script(chunks=4)).json()["usage"]["cost"]
    asked = {"model": "qwen-plus", "status_class": "2xx", "billing_reason": "completed"}
    assert moved.by("ttonk_requests_total", **asked) == 1
    tokens = {"model": "qwen-plus", "token_class": "input"}
    assert moved.by("ttonk_tokens_total", **tokens) == PROMPT_TOKENS
    assert moved.by("ttonk_tokens_total", **{**tokens, "token_class": "output"}) == 4
    assert moved.by("ttonk_spend_usd_total", model="qwen-plus") == pytest.approx(charge)
    for name in ("ttonk_before_upstream_seconds", "ttonk_settle_seconds"):
        assert moved.by(f"{name}_count") == 1
        assert 0 < moved.by(f"{name}_sum") < 5
    assert moved.by("ttonk_request_seconds_count", model="qwen-plus") == 1
    assert moved.by("ttonk_first_token_seconds_count", model="qwen-plus") == 0
    # Its hold, and its capture.
    assert moved.by("ttonk_commit_items_sum") == 2
    assert moved.by("ttonk_commit_seconds_count") >= 2
    decided = {"decision": "allowed", "refused_by": ""}
    assert moved.by("ttonk_limiter_decisions_total", **decided) == 1


def test_a_stream_moves_the_time_to_its_first_token(wire: Wire, moved: Moved) -> None:
    wire.stream(Script(chunks=2, first_token_ms=60))
    assert moved.by("ttonk_first_token_seconds_count", model="qwen-plus") == 1
    assert moved.by("ttonk_first_token_seconds_sum", model="qwen-plus") >= 0.06


def test_a_failed_channel_is_told_by_kind(wire: Wire, moved: Moved) -> None:
    assert wire.chat(Script(status=503)).status_code == 503
    numbers = _read(wire.http)
    kinds = [dict(labels) for (name, labels) in numbers if name == "ttonk_channel_failures_total"]
    kind = next(labels for labels in kinds if labels["failure"] == "upstream_overloaded")
    channel = {name: value for name, value in kind.items() if name != "failure"}
    assert moved.by("ttonk_channel_failures_total", **kind) >= 1
    assert moved.by("ttonk_channel_attempts_total", **channel) >= 1
    ended = {"model": "qwen-plus", "status_class": "5xx", "billing_reason": "upstream_failed"}
    assert moved.by("ttonk_requests_total", **ended) == 1
    code = {"status": "503", "code": "upstream_overloaded"}
    assert moved.by("ttonk_error_answers_total", **code) == 1


def test_a_failed_request_is_one_line_without_its_prompt(wire: Wire) -> None:
    script = Script(status=503, tag="nobody-may-read-this")
    request_id = wire.chat(script).headers["x-request-id"]
    lines = [line for line in wire.stack.log("gateway").splitlines() if request_id in line]
    assert len(lines) == 1
    assert "request failed" in lines[0]
    assert all(part in lines[0] for part in ("qwen-plus", "upstream_overloaded", "channel_id"))
    assert "nobody-may-read-this" not in wire.stack.log("gateway")


def test_a_refusal_is_counted_by_its_limit(wire: Wire, moved: Moved) -> None:
    key = wire.customer.key_once_a_minute
    statuses = [wire.chat(key=key).status_code for _ in range(2)]
    assert statuses[-1] == 429
    refused = {"decision": "refused", "refused_by": "requests"}
    assert moved.by("ttonk_limiter_decisions_total", **refused) >= 1
    assert moved.by("ttonk_error_answers_total", status="429", code="rate_limit_exceeded") >= 1


def test_an_idle_gateway_says_that_all_is_well(wire: Wire) -> None:
    deadline = time.monotonic() + 5
    while _read(wire.http)["ttonk_exchanges_in_flight", ()] and time.monotonic() < deadline:
        time.sleep(0.05)
    numbers = _read(wire.http)
    for name in ("exchanges_in_flight", "holds_in_flight", "body_bytes", "ledger_unavailable",
                 "limiter_lane_down", "commit_queue_length"):  # fmt: skip
        assert numbers[f"ttonk_{name}", ()] == 0
    assert numbers["ttonk_gateway_processes", ()] == 1
    assert numbers["ttonk_spool_files", (("state", "waiting"),)] == 0


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_what_a_proxy_passes_on_does_not_reach_the_metrics(wire: Wire, header: str) -> None:
    assert wire.http.get("/metrics", headers={header: "203.0.113.9"}).status_code == 404


@pytest.mark.parametrize(
    ("peer", "token", "sent", "allowed"),
    [
        ("127.0.0.1", "", "", True),
        ("::1", "", "", True),
        ("::ffff:127.0.0.1", "", "", True),
        ("203.0.113.9", "", "", False),
        ("203.0.113.9", "", "Bearer ", False),
        ("203.0.113.9", "t0ken", "Bearer t0ken", True),
        ("203.0.113.9", "t0ken", "Bearer wrong", False),
        ("127.0.0.1", "t0ken", "", False),
    ],
)
def test_metrics_are_read_from_this_machine_or_with_the_token(
    settings: Any, peer: str, token: str, sent: str, allowed: bool
) -> None:
    settings.METRICS_TOKEN = token
    headers = [(b"authorization", sent.encode())] if sent else []
    assert exposition.is_allowed({"client": (peer, 1), "headers": headers}) is allowed


def _snapshot(requests: int) -> exposition.Snapshot:
    histogram = Histogram((1, 2))
    histogram.observe(1.5)
    key = ("qwen-plus", "2xx", "completed")
    return exposition.Snapshot(
        {"ttonk_requests": {key: requests}},
        {"ttonk_gateway_processes": {(): 1}},
        {"ttonk_commit_items": {(): [1] * 11 + [7.0]}},
    )


def test_processes_behind_one_port_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    exposition._write(tmp_path / "ttonk-1-1.metrics", _snapshot(3))
    exposition._write(tmp_path / "ttonk-2-1.metrics", _snapshot(4))
    (tmp_path / "ttonk-3-1.metrics").write_bytes(b"half a file")
    text = exposition._render(_snapshot(5)).decode()
    name = 'ttonk_requests_total{billing_reason="completed",model="qwen-plus",status_class="2xx"}'
    values = dict(re.findall(r"^(ttonk\S+) (\S+)$", text, re.MULTILINE))
    assert {float(value) for key, value in values.items() if "requests_total" in key} == {12}, name
    assert float(values["ttonk_gateway_processes"]) == 3
    assert float(values['ttonk_commit_items_bucket{le="+Inf"}']) == 33


def test_a_process_that_is_gone_leaves_its_counts_and_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(exposition, "GONE_SECONDS", -1)
    exposition._write(tmp_path / "ttonk-1-1.metrics", _snapshot(3))
    text = exposition._render(_snapshot(5)).decode()
    assert re.search(r"ttonk_requests_total\{.*\} 8\.0", text)
    assert "ttonk_gateway_processes 1.0" in text


_KNOWN = (
    {f"{name}_total" for name in definitions.COUNTERS}
    | {*definitions.GAUGES, *worker_metrics.GAUGES, *definitions.HISTOGRAMS}
    | {f"{name}_bucket" for name in definitions.HISTOGRAMS}
)


@pytest.mark.parametrize("file", ["alerts.yml", "grafana/dashboards/ttonkapi.json"])
def test_alerts_and_dashboard_ask_for_what_there_is(file: str) -> None:
    text = (Path(__file__).parents[2] / "docker" / file).read_text()
    asked = set(re.findall(r"\bttonk_[a-z_]+", text))
    assert asked
    assert asked <= _KNOWN


def test_every_metric_is_in_the_operators_handbook() -> None:
    handbook = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    named = set(re.findall(r"`(ttonk_[a-z_]+)`", handbook))
    assert {name for name in _KNOWN if not name.endswith("_bucket")} <= named
