"""Malformed requests over the wire: a clear 4xx in the envelope, no upstream call, no charge."""

import gzip
import json
import socket
from typing import Any

import pytest

from accounts import keys
from tests.gateway.wire import Wire, body_of
from tests.upstream import CREDENTIAL, ScriptedUpstream, refused

HELLO = [{"role": "user", "content": "hello"}]
OK: dict[str, Any] = {"model": "qwen-plus", "messages": HELLO}

# The body, and the parameter to blame.
WRONG_BODIES: list[tuple[Any, str | None]] = [
    (b"", None),
    (b"{", None),
    (b"null", None),
    (b"[]", None),
    (b'"text"', None),
    (b"{} trailing", None),
    (b"\xff\xfe", None),
    (b'{"model": "qwen-plus", "messages": [{"role": "user", "content": "\\ud800"}]}', None),
    (b'{"model": "qwen-plus", "temperature": NaN, "messages": []}', None),
    (b'{"model": "qwen-plus", "temperature": Infinity, "messages": []}', None),
    (b'{"model": "qwen-plus", "seed": ' + b"9" * 5000 + b"}", None),
    (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", None),
    (b"[" * 100_000, None),
    (b'{"model": "qwen-plus", "messages": [{"role": "user", "content": "a\\u0000b"}]}',
     "messages[0].content"),
    ({"messages": HELLO}, "model"),
    ({"model": "qwen-plus"}, "messages"),
    ({**OK, "model": 7}, "model"),
    ({**OK, "model": ""}, "model"),
    ({**OK, "messages": []}, "messages"),
    ({**OK, "messages": "hello"}, "messages"),
    ({**OK, "messages": [7]}, "messages[0]"),
    ({**OK, "messages": [{"content": "x"}]}, "messages[0].role"),
    ({**OK, "messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({**OK, "messages": [{"role": "user"}]}, "messages[0].content"),
    ({**OK, "messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({**OK, "messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({**OK, "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({**OK, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
     "messages[0].content[0].text"),
    ({**OK, "messages": [*HELLO, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
    ({**OK, "n": 0}, "n"),
    ({**OK, "n": 129}, "n"),
    ({**OK, "n": 2**63}, "n"),
    ({**OK, "n": -1}, "n"),
    ({**OK, "n": True}, "n"),
    ({**OK, "n": "2"}, "n"),
    ({**OK, "n": 1.5}, "n"),
    ({**OK, "max_tokens": 0}, "max_tokens"),
    ({**OK, "max_tokens": -1}, "max_tokens"),
    ({**OK, "max_tokens": 10**12}, "max_tokens"),
    ({**OK, "max_tokens": "many"}, "max_tokens"),
    ({**OK, "max_completion_tokens": 10**30}, "max_completion_tokens"),
    ({**OK, "max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    ({**OK, "temperature": 2.1}, "temperature"),
    ({**OK, "temperature": "hot"}, "temperature"),
    ({**OK, "top_p": -0.1}, "top_p"),
    ({**OK, "presence_penalty": 3}, "presence_penalty"),
    ({**OK, "frequency_penalty": -3}, "frequency_penalty"),
    ({**OK, "stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({**OK, "stop": 5}, "stop"),
    ({**OK, "top_logprobs": 21, "logprobs": True}, "top_logprobs"),
    ({**OK, "top_logprobs": 2}, "top_logprobs"),
    ({**OK, "logit_bias": {"1": 101}}, "logit_bias[...]"),
    ({**OK, "stream": "yes"}, "stream"),
    ({**OK, "stream_options": {"include_usage": True}}, "stream_options"),
    ({**OK, "tools": {}}, "tools"),
    ({**OK, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({**OK, "response_format": "json"}, "response_format"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param"), WRONG_BODIES, ids=[str(index) for index in range(len(WRONG_BODIES))]
)
def test_a_malformed_body_is_a_400_that_names_what_is_to_blame(
    wire: Wire, model_server: ScriptedUpstream, body: Any, param: str | None
) -> None:
    before = wire.count_records()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = wire.http.post(
        "/v1/chat/completions",
        content=data,
        headers={**wire.headers(), "Content-Type": "application/json"},
    )
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]
    assert model_server.received == []
    assert wire.count_records() == before


SECRET = keys.generate()
WRONG_HEADERS = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic dXNlcjpwYXNz"},
    {"Authorization": "Bearer sk-openai-key"},
    {"Authorization": "Bearer ttonk_sk_short"},
    {"Authorization": f"Bearer {SECRET}"},  # well formed, and nobody's
    {"Authorization": f"Bearer {SECRET[:-1]}_"},
    {"Authorization": f"Bearer {SECRET} extra"},
    {"Authorization": SECRET},
    {"Authorization": "Bearer " + "x" * 5000},
    {"Authorization": "Bearer ' OR 1=1 --"},
    {"Authorization": b"Bearer ttonk_sk_\xff\xfe"},
]


@pytest.mark.parametrize("headers", WRONG_HEADERS, ids=range(len(WRONG_HEADERS)))
def test_a_key_in_any_wrong_shape_is_a_401(wire: Wire, headers: dict[str, Any]) -> None:
    answer = wire.http.post("/v1/chat/completions", json=OK, headers=headers)
    error = answer.json()["error"]
    assert answer.status_code == 401
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 404),
        ("GET", "/v1/", 404),
        ("POST", "/v1/completions", 404),
        ("GET", "/v1/chat/completions/", 404),
        ("GET", "/v1/models/no-such-model", 404),
        ("DELETE", "/v1/nothing/here", 404),
        ("GET", "/v1/%00", 404),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/qwen-plus", 405),
    ],
)
def test_an_unknown_route_or_method_answers_in_the_envelope(
    wire: Wire, method: str, path: str, status: int
) -> None:
    answer = wire.http.request(method, path, headers=wire.headers())
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-ratelimit-limit-requests"]
    if status == 405:
        assert answer.headers["allow"]


def test_an_unknown_model_is_a_404(wire: Wire) -> None:
    answer = wire.chat(model="gpt-imaginary")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


def test_a_compressed_body_is_a_415(wire: Wire) -> None:
    data = gzip.compress(json.dumps(OK).encode())
    headers = {**wire.headers(), "Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = wire.http.post("/v1/chat/completions", content=data, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_form_is_a_415(wire: Wire) -> None:
    answer = wire.http.post("/v1/chat/completions", data={"model": "x"}, headers=wire.headers())
    assert answer.status_code == 415


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_oversized_body_is_a_413(wire: Wire, is_chunked: bool) -> None:
    data = json.dumps(body_of("x" * 70_000_000)).encode()
    content = iter([data[at : at + 65536] for at in range(0, len(data), 65536)])
    headers = {**wire.headers(), "Content-Type": "application/json"}
    answer = wire.http.post(
        "/v1/chat/completions", content=content if is_chunked else data, headers=headers
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_duplicate_keys_are_one_before_anyone_reads_them(
    wire: Wire, model_server: ScriptedUpstream
) -> None:
    data = (
        b'{"model":"qwen-max","model":"qwen-plus","messages":[],"messages":%s}'
        % json.dumps(HELLO).encode()
    )
    answer = wire.http.post(
        "/v1/chat/completions",
        content=data,
        headers={**wire.headers(), "Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    assert model_server.last().body["model"] == "qwen-plus"
    assert wire.record(answer.headers["x-request-id"])["model"] == "qwen-plus"


def test_steering_fields_are_not_passed_on_and_unknown_ones_are(
    wire: Wire, model_server: ScriptedUpstream
) -> None:
    wire.chat(api_base="http://evil", api_key="stolen", user_id="other", repetition_penalty=1.1)
    body = model_server.last().body
    assert {"api_base", "api_key", "user_id"} & body.keys() == set()
    assert body["repetition_penalty"] == 1.1


def test_explicit_nulls_are_as_if_absent(wire: Wire) -> None:
    names = ("temperature", "n", "stop", "tools", "stream", "stream_options", "max_tokens", "user")
    nulls: dict[str, Any] = dict.fromkeys(names)
    assert wire.chat(**nulls).status_code == 200


def test_a_providers_refusal_never_tells_the_operators_credential(wire: Wire) -> None:
    said = f"unknown parameter for {CREDENTIAL}"
    error = wire.chat(refused(400, said, param=said, code=said)).json()["error"]
    assert error["message"] == error["param"] == "unknown parameter for …"
    assert error["code"] == "rejected_by_provider"


def test_a_preflight_is_answered_for_any_origin_without_credentials(wire: Wire) -> None:
    answer = wire.http.options(
        "/v1/chat/completions",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0.1", "nonsense"])
def test_any_accept_header_is_fine(wire: Wire, accept: str) -> None:
    answer = wire.http.get("/v1/models", headers={**wire.headers(), "Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_an_unread_body_does_not_become_the_next_request(wire: Wire) -> None:
    body = b'GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n{"a": 1}'
    host, port = wire.stack.base_url.removeprefix("http://").split(":")
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head + body)
        connection.settimeout(1)
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except TimeoutError:
            pass
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"404" in received.split(b"\r\n", 1)[0]
