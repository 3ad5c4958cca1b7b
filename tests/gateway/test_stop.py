"""A server whose patience with its streams ends before they do."""

import httpx
import pytest

from config.launcher import ports
from tests import stack as stacks
from tests.gateway.wire import Wire, body_of
from tests.scripts import Script
from tests.upstream import ScriptedUpstream


def test_a_stream_cut_by_the_servers_stop_is_settled_before_it_is_gone(
    wire: Wire, model_server: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "DRAIN_SECONDS", 1)
    address = f"http://127.0.0.1:{ports.pick()}"
    wire.stack.start_another_gateway("impatient", address)
    body = body_of(Script(chunks=1_000, gap_ms=50), stream=True)
    with httpx.stream(
        "POST", f"{address}/v1/chat/completions", json=body, headers=wire.headers(), timeout=30
    ) as answer:
        lines = answer.iter_lines()
        for _ in range(8):
            next(lines)
        wire.stack.stop("impatient")
        with pytest.raises((httpx.HTTPError, StopIteration)):
            while True:
                assert "[DONE]" not in next(lines)
        request_id = answer.headers["x-request-id"]
    record = wire.record(request_id, seconds=0.5)
    assert (record["billing_reason"], record["state"]) == ("gateway_lost", "posted")
    assert record["output_tokens"] > 0
    model_server.wait_for(lambda entry: entry.disconnected_at is not None)
