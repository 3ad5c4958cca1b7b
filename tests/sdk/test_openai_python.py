"""The official `openai` package, unmodified, against the running product: answers and models.

Runs on the installed major version here, and on the one before in test_openai_python_2.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.customers import MODELS, Customer
from tests.scripts import PROMPT_TOKENS, Script
from tests.sdk.asking import RATE_HEADERS, WEATHER, ask, client_of, received, said


@pytest.mark.parametrize("model", MODELS)
def test_chat_answers_in_the_name_of_the_model_that_was_asked(client: OpenAI, model: str):
    answer = ask(client, Script(text="Hello there", chunks=2), model)
    assert answer.object == "chat.completion"
    assert answer.model == model
    assert answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < 60
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there")


def test_chat_reports_the_usage_and_its_cost(client: OpenAI):
    usage = ask(client, Script(chunks=5)).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT_TOKENS, 5)
    assert usage.total_tokens == PROMPT_TOKENS + 5
    assert usage.cost == pytest.approx((PROMPT_TOKENS * 0.05 + 5 * 0.20) / 1_000_000)


def test_chat_brings_as_many_choices_as_n(client: OpenAI):
    answer = ask(client, Script(chunks=2), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == 6


def test_chat_stops_at_max_tokens(client: OpenAI):
    for name in ("max_tokens", "max_completion_tokens"):
        limit: dict[str, Any] = {name: 4}
        answer = ask(client, Script(chunks=50), **limit)
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
    [entry] = received(customer, script.tag)
    assert {name: entry["body"][name] for name in sent} == sent
    assert entry["body"]["top_k"] == 20
    assert entry["body"]["messages"] == messages


def test_chat_relays_reasoning_beside_the_answer(client: OpenAI):
    answer = ask(client, Script(reasoning="let me think", text="Yes"), "deepseek-reasoner")
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
        model="qwen-plus", messages=said("'Launch' is in 2031"), response_format=Event
    )
    assert answer.choices[0].message.parsed == Event(name="Launch", year=2031)


async def test_the_async_client_answers_and_streams(customer: Customer):
    async with AsyncOpenAI(
        api_key=customer.api_key, base_url=customer.base_url, max_retries=0
    ) as client:
        answer = await client.chat.completions.create(
            model="qwen-turbo", messages=said(Script(text="whole"))
        )
        assert answer.choices[0].message.content == "whole"
        stream = await client.chat.completions.create(
            model="qwen-turbo", messages=said(Script(chunks=4)), stream=True
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(texts) == "w0 w1 w2 w3 "


@pytest.mark.parametrize("is_stream", [False, True])
def test_every_answer_carries_its_request_id_and_the_limits(client: OpenAI, is_stream: bool):
    raw = client.chat.completions.with_raw_response.create(
        model="qwen-turbo", messages=said("hello"), stream=is_stream
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
    with client_of(customer, customer.key_for_turbo) as client:
        assert [model.id for model in client.models.list()] == ["qwen-turbo"]


def test_one_model_is_retrieved_by_its_name(client: OpenAI):
    model = client.models.retrieve("deepseek-reasoner")
    assert (model.id, model.object, model.owned_by) == ("deepseek-reasoner", "model", "deepseek")
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-17")
    assert caught.value.code == "model_not_found"
