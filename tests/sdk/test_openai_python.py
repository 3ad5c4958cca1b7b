"""The official `openai` package, unmodified, against the running product.

Runs on the installed major version here, and on the one before in test_openai_python_2.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.customers import MODELS, Customer
from tests.scripts import PROMPT_TOKENS, Call, Script, refused

RATE_HEADERS = [
    f"x-ratelimit-{fact}-{what}"
    for fact in ("limit", "remaining", "reset")
    for what in ("requests", "tokens")
]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def client(customer: Customer) -> Iterator[OpenAI]:
    with _client(customer, customer.api_key) as made:
        yield made


def _client(customer: Customer, key: str, **options: Any) -> OpenAI:
    return OpenAI(api_key=key, base_url=customer.base_url, **{"max_retries": 0, **options})


def _said(script: Script | str) -> Any:
    return [{"role": "user", "content": script if isinstance(script, str) else script.prompt()}]


def _ask(client: OpenAI, script: Script | str, model: str = "qwen-turbo", **options: Any) -> Any:
    return client.chat.completions.create(model=model, messages=_said(script), **options)


def _received(customer: Customer, tag: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{customer.upstream_url}/received?tag={tag}", timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


# --- chat ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_chat_answers_in_the_name_of_the_model_that_was_asked(client: OpenAI, model: str):
    answer = _ask(client, Script(text="Hello there", chunks=2), model)
    assert answer.object == "chat.completion"
    assert answer.model == model
    assert answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < 60
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there")


def test_chat_reports_the_usage_and_its_cost(client: OpenAI):
    usage = _ask(client, Script(chunks=5)).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT_TOKENS, 5)
    assert usage.total_tokens == PROMPT_TOKENS + 5
    assert usage.cost == pytest.approx((PROMPT_TOKENS * 0.05 + 5 * 0.20) / 1_000_000)


def test_chat_brings_as_many_choices_as_n(client: OpenAI):
    answer = _ask(client, Script(chunks=2), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == 6


def test_chat_stops_at_max_tokens(client: OpenAI):
    for name in ("max_tokens", "max_completion_tokens"):
        limit: dict[str, Any] = {name: 4}
        answer = _ask(client, Script(chunks=50), **limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 4


def test_chat_passes_parameters_and_images_on_as_they_were_sent(customer: Customer, client: OpenAI):
    picture = "data:image/png;base64," + base64.b64encode(bytes(3000)).decode()
    sent: dict[str, Any] = {
        "temperature": 0.25, "top_p": 0.5, "seed": 7, "stop": ["END"], "presence_penalty": -1,
        "response_format": {"type": "json_object"},
    }  # fmt: skip
    script = Script(tag=f"parameters-{time.time_ns()}")
    parts = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": script.prompt()},
    ]
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    client.chat.completions.create(
        model="qwen-max", messages=messages, extra_body={"top_k": 20}, **sent
    )
    [entry] = _received(customer, script.tag)
    assert {name: entry["body"][name] for name in sent} == sent
    assert entry["body"]["top_k"] == 20
    assert entry["body"]["messages"] == messages


def test_chat_relays_reasoning_beside_the_answer(client: OpenAI):
    answer = _ask(client, Script(reasoning="let me think", text="Yes"), "deepseek-reasoner")
    assert answer.choices[0].message.reasoning_content == "let me think"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3


def test_chat_calls_tools_and_takes_their_results(client: OpenAI):
    asked: Any = [{"role": "user", "content": "What is the weather in 'Hanoi'?"}]
    first = client.chat.completions.create(model="qwen-plus", messages=asked, tools=[WEATHER])
    [choice] = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    call: Any = choice.message.tool_calls[0]
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Hanoi"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "33 degrees"}
    messages: Any = [*asked, choice.message.model_dump(exclude_none=True), result]
    second = client.chat.completions.create(model="qwen-plus", messages=messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"


def test_chat_parses_an_answer_into_the_model_it_was_asked_for(client: OpenAI):
    from pydantic import BaseModel

    class Event(BaseModel):
        name: str
        year: int

    answer = client.chat.completions.parse(
        model="qwen-plus", messages=_said("'Launch' is in 2031"), response_format=Event
    )
    assert answer.choices[0].message.parsed == Event(name="Launch", year=2031)


async def test_the_async_client_answers_and_streams(customer: Customer):
    async with AsyncOpenAI(
        api_key=customer.api_key, base_url=customer.base_url, max_retries=0
    ) as client:
        answer = await client.chat.completions.create(
            model="qwen-turbo", messages=_said(Script(text="whole"))
        )
        assert answer.choices[0].message.content == "whole"
        stream = await client.chat.completions.create(
            model="qwen-turbo", messages=_said(Script(chunks=4)), stream=True
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(texts) == "w0 w1 w2 w3 "


# --- streams ------------------------------------------------------------------------------------


def test_a_stream_has_one_id_one_role_and_no_usage_unasked(client: OpenAI):
    chunks = list(_ask(client, Script(chunks=6), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "w0 w1 w2 w3 w4 w5 "
    assert {chunk.model for chunk in chunks} == {"qwen-turbo"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_usage_where_it_was_asked_for(client: OpenAI):
    options = {"include_usage": True}
    *chunks, last = _ask(client, Script(chunks=6), stream=True, stream_options=options)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (PROMPT_TOKENS, 6)
    assert last.usage.cost > 0


def test_a_stream_arrives_as_it_is_made(client: OpenAI):
    began = time.monotonic()
    arrived = [
        time.monotonic() - began
        for _ in _ask(client, Script(chunks=8, gap_ms=80, comments=2), stream=True)
    ]
    assert arrived[0] < 0.4
    assert arrived[-1] > 0.6
    gaps = [late - early for early, late in itertools.pairwise(arrived)]
    assert max(gaps) < 0.5


def test_streamed_tool_calls_come_together_again(client: OpenAI):
    calls = [Call("get_weather", '{"city": "Huế"}'), Call("get_weather", '{"city": "Đà Nẵng"}')]
    script = Script(text="", tool_calls=calls)
    with client.chat.completions.stream(
        model="qwen-plus", messages=_said(script), tools=[WEATHER]
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    made: Any = final.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in made] == ["Huế", "Đà Nẵng"]


def test_the_stream_helper_puts_the_answer_together(client: OpenAI):
    with client.chat.completions.stream(
        model="qwen-turbo",
        messages=_said(Script(chunks=5, reasoning="hm")),
        stream_options={"include_usage": True},
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "w0 w1 w2 w3 w4 "
    assert final.usage is not None
    assert final.usage.completion_tokens == 6


def test_leaving_a_stream_stops_the_upstream(customer: Customer, client: OpenAI):
    script = Script(chunks=500, gap_ms=20, tag=f"leaving-{time.time_ns()}")
    stream = _ask(client, script, stream=True)
    next(stream)
    stream.close()
    deadline = time.monotonic() + 5
    while not (entry := _received(customer, script.tag)[0])["is_disconnected"]:
        assert time.monotonic() < deadline, "the upstream still streams to nobody"
        time.sleep(0.05)
    assert entry["events_sent"] < 100
    assert _ask(client, Script(text="still here")).choices[0].message.content == "still here"


@pytest.mark.parametrize("ending", ["reset", "close", "half", "error", "garbage"])
def test_a_stream_that_breaks_off_is_an_error_and_never_an_end(client: OpenAI, ending: Any):
    script = Script(chunks=9, gap_ms=20, cut_after=4, ending=ending)
    texts = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in _ask(client, script, stream=True):
            assert chunk.choices[0].finish_reason is None
            texts.append(chunk.choices[0].delta.content or "")
    assert "".join(texts) == "w0 w1 w2 w3 "
    assert caught.value.type == "server_error"


# --- errors -------------------------------------------------------------------------------------


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
    body: dict[str, Any] = {"model": "qwen-turbo", "messages": _said("hello"), **wrong}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**body)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_what_the_provider_rejects_is_a_bad_request_without_its_secrets(client: OpenAI):
    script = refused(400, "no such format; key sk-abcdefgh12345", param="response_format")
    with pytest.raises(openai.BadRequestError) as caught:
        _ask(client, script)
    assert caught.value.param == "response_format"
    assert "sk-abc" not in str(caught.value)


@pytest.mark.parametrize("key", ["nonsense", "ttonk_sk_" + "A" * 40, "sk-proj-1234567890"])
def test_a_wrong_key_is_an_authentication_error(customer: Customer, key: str):
    with _client(customer, key) as client, pytest.raises(openai.AuthenticationError) as caught:
        _ask(client, "hello")
    assert (caught.value.type, caught.value.code) == ("authentication_error", "invalid_api_key")
    assert key not in str(caught.value)


def test_an_empty_wallet_is_a_402_that_is_not_retried(customer: Customer):
    script = Script(tag=f"poor-{time.time_ns()}")
    with (
        _client(customer, customer.key_of_the_poor, max_retries=2) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        _ask(client, script)
    assert caught.value.status_code == 402
    assert caught.value.type == "insufficient_quota"
    assert _received(customer, script.tag) == []


def test_a_model_outside_the_keys_list_is_a_permission_error(customer: Customer):
    with _client(customer, customer.key_for_turbo) as client:
        assert _ask(client, "hello").choices
        with pytest.raises(openai.PermissionDeniedError) as caught:
            _ask(client, "hello", "qwen-max")
    assert caught.value.type == "permission_error"


def test_an_unknown_model_is_not_found(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        _ask(client, "hello", "gpt-17")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.type == "invalid_request_error"


def test_an_endpoint_that_does_not_exist_is_not_found_in_json(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        client.fine_tuning.jobs.list()
    assert caught.value.type == "invalid_request_error"


def test_too_many_requests_are_a_rate_limit_error_that_says_when(customer: Customer):
    with (
        _client(customer, customer.key_once_a_minute) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        for _ in range(3):
            _ask(client, "hello")
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
        _ask(client, script, stream=is_stream)
    assert caught.value.status_code == status
    assert caught.value.type == "server_error"
    for theirs in ("stack trace", "operator", "deployment", "slow down", "busy", "html"):
        assert theirs not in str(caught.value)


def test_a_server_error_is_retried_by_the_client(customer: Customer):
    script = Script(status=500, body={}, tag=f"retried-{time.time_ns()}")
    with (
        _client(customer, customer.api_key, max_retries=1) as client,
        pytest.raises(openai.InternalServerError),
    ):
        _ask(client, script)
    assert len(_received(customer, script.tag)) == 2


# --- headers and models -------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True])
def test_every_answer_carries_its_request_id_and_the_limits(client: OpenAI, is_stream: bool):
    raw = client.chat.completions.with_raw_response.create(
        model="qwen-turbo", messages=_said("hello"), stream=is_stream
    )
    assert raw.headers["x-request-id"]
    assert int(raw.headers["x-ratelimit-limit-requests"]) == 1000
    assert int(raw.headers["x-ratelimit-remaining-requests"]) < 1000
    assert all(name in raw.headers for name in RATE_HEADERS)
    if not is_stream:
        assert raw.request_id == raw.headers["x-request-id"]
        parsed: Any = raw.parse()
        assert parsed.choices[0].message.content == "You said: hello"


def test_models_are_listed_as_the_catalog_has_them(client: OpenAI):
    listed = {model.id: model for model in client.models.list()}
    assert set(MODELS) <= listed.keys()
    assert listed["qwen-max"].owned_by == "qwen"
    assert listed["deepseek-chat"].owned_by == "deepseek"
    assert all(model.object == "model" and model.created > 0 for model in listed.values())


def test_models_list_shows_a_limited_key_only_its_own(customer: Customer):
    with _client(customer, customer.key_for_turbo) as client:
        assert [model.id for model in client.models.list()] == ["qwen-turbo"]


def test_one_model_is_retrieved_by_its_name(client: OpenAI):
    model = client.models.retrieve("deepseek-reasoner")
    assert (model.id, model.object, model.owned_by) == ("deepseek-reasoner", "model", "deepseek")
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-17")
    assert caught.value.code == "model_not_found"
