"""The official `openai` package, unmodified, against the running product: errors.

Runs on the installed major version here, and on the one before in test_openai_python_2.
"""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.customers import Customer
from tests.scripts import Script, refused
from tests.sdk.asking import RATE_HEADERS, ask, client_of, received, said

_BROKEN = Script(status=500, body={})


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_a_wrong_parameter_is_a_bad_request_that_names_it(
    client: OpenAI, wrong: dict[str, Any], param: str
):
    body: dict[str, Any] = {"model": "qwen-turbo", "messages": said("hello"), **wrong}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**body)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_what_the_provider_rejects_is_a_bad_request_without_its_secrets(client: OpenAI):
    script = refused(400, "no such format; key sk-abcdefgh12345", param="response_format")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, script)
    assert caught.value.param == "response_format"
    assert "sk-abc" not in str(caught.value)


@pytest.mark.parametrize("key", ["nonsense", "ttonk_sk_" + "A" * 40, "sk-proj-1234567890"])
def test_a_wrong_key_is_an_authentication_error(customer: Customer, key: str):
    with client_of(customer, key) as client, pytest.raises(openai.AuthenticationError) as caught:
        ask(client, "hello")
    assert (caught.value.type, caught.value.code) == ("authentication_error", "invalid_api_key")
    assert key not in str(caught.value)


def test_an_empty_wallet_is_a_402_that_is_not_retried(customer: Customer):
    script = Script(tag=f"poor-{time.time_ns()}")
    with (
        client_of(customer, customer.key_of_the_poor, max_retries=2) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        ask(client, script)
    assert caught.value.status_code == 402
    assert caught.value.type == "insufficient_quota"
    assert received(customer, script.tag) == []


def test_a_model_outside_the_keys_list_is_a_permission_error(customer: Customer):
    with client_of(customer, customer.key_for_turbo) as client:
        assert ask(client, "hello").choices
        with pytest.raises(openai.PermissionDeniedError) as caught:
            ask(client, "hello", "qwen-max")
    assert caught.value.type == "permission_error"


def test_an_unknown_model_is_not_found(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "hello", "gpt-17")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.type == "invalid_request_error"


def test_an_endpoint_that_does_not_exist_is_not_found_in_json(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        client.fine_tuning.jobs.list()
    assert caught.value.type == "invalid_request_error"


def test_too_many_requests_are_a_rate_limit_error_that_says_when(customer: Customer):
    with (
        client_of(customer, customer.key_once_a_minute) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        for _ in range(3):
            ask(client, "hello")
    assert caught.value.type == "rate_limit_error"
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert all(name in headers for name in RATE_HEADERS)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (refused(500, "stack trace"), 502),
        (refused(401, "operator's key is wrong"), 502),
        (refused(402, "operator's balance is empty"), 502),
        (refused(404, "no such deployment"), 502),
        (refused(429, "slow down"), 503),
        (refused(503, "busy"), 503),
        (Script(raw="<html>Bad gateway</html>"), 502),
        (Script(raw='{"choices": '), 502),
        (Script(body={"object": "list"}), 502),
        (Script(ending="reset"), 502),
        (Script(compressed=True), 502),
        (Script(status=307, headers={"Location": "http://127.0.0.1:1/"}, raw="moved"), 502),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_the_upstreams_trouble_is_a_server_error_in_our_words(
    client: OpenAI, script: Script, status: int, is_stream: bool
):
    if script.ending == "reset":
        script = Script(ending="reset", cut_after=0)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, script, stream=is_stream)
    assert caught.value.status_code == status
    assert caught.value.type == "server_error"
    for theirs in ("stack trace", "operator", "deployment", "slow down", "busy", "html"):
        assert theirs not in str(caught.value)


def test_a_server_error_is_retried_by_the_client(customer: Customer):
    script = Script(status=500, body={}, tag=f"retried-{time.time_ns()}")
    with (
        client_of(customer, customer.api_key, max_retries=1) as client,
        pytest.raises(openai.InternalServerError),
    ):
        ask(client, script)
    assert len(received(customer, script.tag)) == 2


@pytest.mark.parametrize(
    ("wrong", "status"),
    [({"temperature": 9}, 400), ({"model": "gpt-17"}, 404), ({"messages": said(_BROKEN)}, 502)],
)
def test_every_error_carries_its_request_id_and_the_limits(
    client: OpenAI, wrong: dict[str, Any], status: int
):
    body: dict[str, Any] = {"model": "qwen-turbo", "messages": said("hello"), **wrong}
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**body)
    assert caught.value.status_code == status
    assert caught.value.request_id
    assert all(name in caught.value.response.headers for name in RATE_HEADERS)
