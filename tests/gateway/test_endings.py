"""Every way a request can end, over the wire, and what it costs: the table customers are shown."""

import json
import time

import httpx
import psycopg
import pytest

from gateway.counting import _count
from tests.gateway.wire import Wire, body_of
from tests.scripts import PROMPT_TOKENS, Script
from tests.upstream import ScriptedUpstream, refused

# qwen-plus, nanos per token.
INPUT, OUTPUT = 400, 1_200


def _counted(script: Script) -> int:
    """The prompt as the gateway counts it: the text, and a frame of 3 for it and the answer."""
    return _count([script.prompt()]) + 6


def test_a_completed_answer_costs_what_the_provider_reported(wire: Wire) -> None:
    answer = wire.chat(Script(chunks=4))
    record = wire.record(answer.headers["x-request-id"])
    charge = PROMPT_TOKENS * INPUT + 4 * OUTPUT
    assert answer.status_code == 200
    assert answer.json()["usage"]["cost"] == charge / 1e9
    assert (record["charge_nanos"], record["amount_nanos"], record["state"]) == (
        charge, charge, "posted",
    )  # fmt: skip
    assert (record["billing_reason"], record["is_estimated"]) == ("completed", False)


def test_a_completed_stream_costs_what_the_provider_reported(wire: Wire) -> None:
    status, payloads, request_id = wire.stream(Script(chunks=4))
    record = wire.record(request_id)
    assert (status, payloads[-1]) == (200, "[DONE]")
    assert record["charge_nanos"] == PROMPT_TOKENS * INPUT + 4 * OUTPUT
    assert record["first_token_ms"] is not None


def test_the_charge_is_durable_before_the_stream_ends(wire: Wire) -> None:
    with wire.http.stream(
        "POST",
        "/v1/chat/completions",
        json=body_of(Script(), stream=True),
        headers=wire.headers(),
    ) as answer:
        for line in answer.iter_lines():
            if line == "data: [DONE]":
                assert wire.record(answer.headers["x-request-id"], seconds=0.3)["state"] == "posted"
                return
    pytest.fail("the stream never ended")


def test_usage_is_on_the_last_chunk_only_where_asked_for(wire: Wire) -> None:
    _, payloads, _ = wire.stream(Script(chunks=2), stream_options={"include_usage": True})
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert {chunk["usage"] for chunk in chunks[:-1]} == {None}
    _, payloads, _ = wire.stream(Script(chunks=2))
    assert all("usage" not in json.loads(payload) for payload in payloads[:-1])


def test_a_stream_has_one_id_one_model_and_one_role(wire: Wire) -> None:
    _, payloads, request_id = wire.stream(Script(chunks=3))
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-" + request_id.removeprefix("req_")}
    assert {chunk["model"] for chunk in chunks} == {"qwen-plus"}
    assert ["role" in c["choices"][0]["delta"] for c in chunks].count(True) == 1


@pytest.mark.parametrize(
    "usage",
    [
        "absent",
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": 10**15},
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": 0},
        {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}},
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_without_a_usable_report_the_tokens_are_counted_and_marked(
    wire: Wire, usage: object, is_stream: bool
) -> None:
    script = Script(chunks=5, usage=usage)  # type: ignore[arg-type]
    if is_stream:
        _, payloads, request_id = wire.stream(script)
        assert payloads[-1] == "[DONE]"
    else:
        request_id = wire.chat(script).headers["x-request-id"]
    record = wire.record(request_id)
    assert (record["billing_reason"], record["is_estimated"]) == ("completed_estimated", True)
    output = _count(["w0 w1 w2 w3 w4 "])
    assert record["charge_nanos"] == _counted(script) * INPUT + output * OUTPUT


def test_usage_on_a_chunk_with_choices_counts(wire: Wire) -> None:
    _, _, request_id = wire.stream(Script(chunks=5, usage="with_choices"))
    record = wire.record(request_id)
    assert (record["output_tokens"], record["is_estimated"]) == (5, False)


def test_a_client_that_leaves_before_the_first_token_pays_nothing(
    wire: Wire, model_server: ScriptedUpstream
) -> None:
    body = body_of(Script(first_token_ms=20_000), stream=True)
    with pytest.raises(httpx.ReadTimeout):
        wire.http.post("/v1/chat/completions", json=body, headers=wire.headers(), timeout=0.5)
    seen = model_server.wait_for(lambda entry: entry.disconnected_at is not None)
    record = wire.record(_newest(wire))
    assert seen.disconnected_at is not None
    assert (record["billing_reason"], record["charge_nanos"], record["state"]) == (
        "client_gone_early", 0, "voided",
    )  # fmt: skip


def test_a_client_that_leaves_a_whole_answer_pays_nothing_and_the_upstream_is_cut(
    wire: Wire, model_server: ScriptedUpstream
) -> None:
    body = body_of(Script(first_token_ms=20_000))
    with pytest.raises(httpx.ReadTimeout):
        wire.http.post("/v1/chat/completions", json=body, headers=wire.headers(), timeout=0.6)
    model_server.wait_for(lambda entry: entry.disconnected_at is not None, seconds=2)
    assert wire.record(_newest(wire))["charge_nanos"] == 0


@pytest.mark.parametrize("position", [1, 3, 8])
def test_a_client_that_leaves_mid_stream_pays_the_prompt_and_what_was_relayed(
    wire: Wire, model_server: ScriptedUpstream, position: int
) -> None:
    script = Script(chunks=40, gap_ms=60)
    seen = []
    with wire.http.stream(
        "POST",
        "/v1/chat/completions",
        json=body_of(script, stream=True),
        headers=wire.headers(),
    ) as answer:
        request_id = answer.headers["x-request-id"]
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")
            if len([text for text in seen if text]) == position:
                break
    left_at = time.monotonic()
    upstream = model_server.wait_for(lambda entry: entry.disconnected_at is not None)
    record = wire.record(request_id)
    assert upstream.disconnected_at is not None and upstream.disconnected_at - left_at < 1
    assert record["billing_reason"] == "client_gone"
    # At most one more chunk was on its way when the client left.
    least = _counted(script) * INPUT + _count(["".join(seen)]) * OUTPUT
    most = least + _count([f"w{position} "]) * OUTPUT
    assert least <= record["charge_nanos"] <= most


@pytest.mark.parametrize("ending", ["close", "half", "reset", "error", "garbage"])
def test_an_upstream_that_dies_mid_stream_is_an_error_event_and_costs_what_was_relayed(
    wire: Wire, ending: str
) -> None:
    script = Script(chunks=6, cut_after=4, ending=ending, gap_ms=5)  # type: ignore[arg-type]
    status, payloads, request_id = wire.stream(script)
    record = wire.record(request_id)
    last = json.loads(payloads[-1])
    assert status == 200
    assert last["error"]["type"] == "server_error"
    assert "[DONE]" not in payloads
    assert record["billing_reason"] == "upstream_died"
    relayed = _count(["w0 w1 w2 w3 "])
    assert record["charge_nanos"] == _counted(script) * INPUT + relayed * OUTPUT


@pytest.mark.parametrize("ending", ["error", "garbage"])
def test_what_came_before_a_bad_event_is_relayed_however_it_arrives(
    wire: Wire, ending: str
) -> None:
    script = Script(chunks=6, cut_after=4, ending=ending)  # type: ignore[arg-type]
    _, payloads, _ = wire.stream(script)
    texts = [json.loads(p)["choices"][0]["delta"].get("content") for p in payloads[:-1]]
    assert "".join(text or "" for text in texts) == "w0 w1 w2 w3 "
    assert "error" in json.loads(payloads[-1])


def test_a_stream_that_finished_without_done_is_whole(wire: Wire) -> None:
    _, payloads, request_id = wire.stream(Script(chunks=3, ending="no_done"))
    assert payloads[-1] == "[DONE]"
    assert wire.record(request_id)["billing_reason"] == "completed"


FAILURES = [
    (Script(status=500, raw="boom"), 502),
    (refused(401, "Incorrect API key sk-upstream-secret-123456"), 502),
    (refused(402, "Insufficient Balance"), 502),
    (refused(404, "no such model"), 502),
    (refused(429, "insufficient_quota"), 503),
    (refused(503, "busy"), 503),
    (Script(raw="not json"), 502),
    (Script(raw="<html>gateway</html>"), 502),
    (Script(body={"hello": 1}), 502),
    (Script(body=[1, 2]), 502),
    (Script(body={"choices": [], "usage": {}}), 502),
    (Script(body={"error": {"message": "late failure"}}), 502),
    (Script(status=302, headers={"Location": "http://127.0.0.1:1/"}, raw="{}"), 502),
    (Script(compressed=True), 502),
]


@pytest.mark.parametrize(("script", "status"), FAILURES)
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_upstream_that_fails_before_the_first_token_costs_nothing_and_shows_nothing(
    wire: Wire, script: Script, status: int, is_stream: bool
) -> None:
    answer = wire.chat(script, stream=is_stream)
    error = answer.json()["error"]
    record = wire.record(answer.headers["x-request-id"])
    assert (answer.status_code, error["type"]) == (status, "server_error")
    assert set(error) == {"message", "type", "param", "code"}
    assert "sk-upstream" not in answer.text
    assert (record["charge_nanos"], record["state"]) == (0, "voided")
    assert (record["billing_reason"], record["status"]) == ("upstream_failed", status)


def test_a_request_that_the_provider_rejects_is_a_400_with_its_reason_and_no_secret(
    wire: Wire,
) -> None:
    script = refused(400, "max_tokens is bad; key sk-upstream-secret-123456", param="max_tokens")
    answer = wire.chat(script)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "max_tokens")
    assert "max_tokens is bad" in error["message"]
    assert "sk-upstream" not in answer.text


def test_a_broken_whole_answer_costs_nothing(wire: Wire) -> None:
    answer = wire.chat(Script(chunks=30, ending="reset"))
    assert answer.status_code == 502
    assert wire.record(answer.headers["x-request-id"])["charge_nanos"] == 0


def test_comments_and_a_slow_first_token_do_not_disturb(wire: Wire) -> None:
    _, payloads, _ = wire.stream(Script(comments=4, first_token_ms=200, chunks=2))
    assert payloads[-1] == "[DONE]"


def test_an_upstream_that_talks_after_done_is_hung_up_on(wire: Wire) -> None:
    _, payloads, request_id = wire.stream(Script(chunks=2, ending="talk"))
    assert payloads[-1] == "[DONE]"
    assert wire.record(request_id)["billing_reason"] == "completed"


def test_reasoning_is_relayed_and_charged_as_reported(wire: Wire) -> None:
    _, payloads, request_id = wire.stream(Script(chunks=2, reasoning="let me think"))
    record = wire.record(request_id)
    assert any("reasoning_content" in payload for payload in payloads)
    assert (record["output_tokens"], record["reasoning_output_tokens"]) == (2, 3)
    # qwen-plus: thinking costs 4.00 USD per million.
    assert record["charge_nanos"] == PROMPT_TOKENS * INPUT + 2 * OUTPUT + 3 * 4_000


def _newest(wire: Wire) -> str:
    with psycopg.connect(wire.stack.database_url) as connection:
        row = connection.execute("SELECT id FROM billing_transfer ORDER BY id DESC").fetchone()
    assert row is not None
    return str(row[0].hex)


_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (_TRACE, _TRACE),
        (_TRACE + "-more", None),
        (_TRACE.upper(), None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("nonsense", None),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_callers_trace_goes_upstream_where_it_is_one(
    wire: Wire, model_server: ScriptedUpstream, sent: str, passed: str | None, is_stream: bool
) -> None:
    headers = {**wire.headers(), "traceparent": sent}
    body = body_of(Script(), stream=is_stream)
    assert wire.http.post("/v1/chat/completions", json=body, headers=headers).is_success
    assert model_server.received[-1].headers.get("traceparent") == passed
