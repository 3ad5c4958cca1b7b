"""Spans as a collector receives them from a running gateway, and their absence where it is off."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config.launcher import ports
from tests.gateway.wire import Wire, body_of
from tests.scripts import Script, refused
from tests.stack import PROJECT
from tests.upstream import CREDENTIAL, ScriptedUpstream

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{PARENT}-01"


class Collector(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP, and keeps every span in memory."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.bytes = b""
        super().__init__(("127.0.0.1", 0), _Take)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"


class _Take(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bytes += data
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@dataclass
class Traced:
    """Asks a gateway that is traced; its spans are whole once it has stopped."""

    wire: Wire
    collector: Collector
    http: httpx.Client

    def ask(self, content: str | Script, **fields: Any) -> httpx.Response:
        head = {**self.wire.headers(), "traceparent": SENT}
        return self.http.post("/v1/chat/completions", json=body_of(content, **fields), headers=head)

    def stop(self) -> list[Any]:
        self.wire.stack.stop("traced")
        return self.collector.spans


@pytest.fixture
def traced(wire: Wire) -> Iterator[Traced]:
    collector = Collector()
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    base_url = f"http://127.0.0.1:{ports.pick()}"
    kept = wire.stack.gateway_environment
    wire.stack.gateway_environment = {**kept, "TTONK_TRACES_URL": collector.url}
    wire.stack.start_another_gateway("traced", base_url)
    wire.stack.gateway_environment = kept
    with httpx.Client(base_url=base_url, timeout=30) as http:
        yield Traced(wire, collector, http)
    if "traced" in wire.stack.processes:
        wire.stack.stop("traced")
    collector.shutdown()
    collector.server_close()


def _read(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_span_says_what_the_usage_record_says_and_nothing_of_the_content(
    traced: Traced, model_server: ScriptedUpstream
) -> None:
    whole = traced.ask("a secret question")
    upstream_saw = model_server.last().headers
    stream = traced.ask(Script(text="a secret answer", first_token_ms=30), stream=True)
    failed = traced.ask(refused(500, f"crashed with {CREDENTIAL}"))
    spans = {_read(span)["ttonk.request_id"]: span for span in traced.stop()}
    assert len(spans) == 3
    for answer in (whole, stream, failed):
        record = traced.wire.record(answer.headers["x-request-id"])
        span = spans[answer.headers["x-request-id"]]
        said = _read(span)
        assert said["gen_ai.request.model"] == record["model"] == "qwen-plus"
        assert said["gen_ai.provider.name"] == record["provider"]
        assert said["gen_ai.usage.input_tokens"] == record["input_tokens"]
        assert said["gen_ai.usage.output_tokens"] == record["output_tokens"]
        assert said["ttonk.charge_nanos"] == record["charge_nanos"]
        assert said["ttonk.attempts"] == record["attempts"]
        assert said["http.response.status_code"] == record["status"] == answer.status_code
        assert said.get("ttonk.first_token_ms") == record["first_token_ms"]
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert (span.status.code == 2) is (answer is failed)
    own = spans[whole.headers["x-request-id"]].span_id.hex()
    name = next(name for name in upstream_saw if name.lower() == "traceparent")
    assert upstream_saw[name] == f"00-{TRACE}-{own}-01"
    for text in (b"secret question", b"secret answer", CREDENTIAL.encode(), b"ttonk_sk"):
        assert text not in traced.collector.bytes


def test_a_caller_that_is_not_traced_stays_so(
    traced: Traced, model_server: ScriptedUpstream
) -> None:
    head = {**traced.wire.headers(), "traceparent": SENT[:-2] + "00"}
    answer = traced.http.post("/v1/chat/completions", json=body_of("hello"), headers=head)
    assert answer.status_code == 200
    told = {name.lower(): value for name, value in model_server.last().headers.items()}
    assert told["traceparent"].startswith(f"00-{TRACE}-")
    assert told["traceparent"].endswith("-00")
    assert traced.stop() == []


def test_nothing_of_opentelemetry_is_imported_where_it_is_off(wire: Wire) -> None:
    program = (
        "import sys, config.asgi; from gateway.services import Services;"
        "assert Services().tracer is None;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environment = {**wire.stack.environment, "TTONK_TRACES_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROJECT, timeout=60, check=False
    )
    assert done.returncode == 0
