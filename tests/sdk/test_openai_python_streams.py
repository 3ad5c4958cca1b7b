"""The official `openai` package, unmodified, against the running product: streams.

Runs on the installed major version here, and on the one before in test_openai_python_2.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.customers import Customer
from tests.scripts import PROMPT_TOKENS, Call, Script
from tests.sdk.asking import WEATHER, ask, received, said


def test_a_stream_has_one_id_one_role_and_no_usage_unasked(client: OpenAI):
    chunks = list(ask(client, Script(chunks=6), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "w0 w1 w2 w3 w4 w5 "
    assert {chunk.model for chunk in chunks} == {"qwen-turbo"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_usage_where_it_was_asked_for(client: OpenAI):
    options = {"include_usage": True}
    *chunks, last = ask(client, Script(chunks=6), stream=True, stream_options=options)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (PROMPT_TOKENS, 6)
    assert last.usage.cost > 0


def test_a_stream_arrives_as_it_is_made(client: OpenAI):
    began = time.monotonic()
    arrived = [
        time.monotonic() - began
        for _ in ask(client, Script(chunks=8, gap_ms=80, comments=2), stream=True)
    ]
    assert arrived[0] < 0.4
    assert arrived[-1] > 0.6
    gaps = [late - early for early, late in itertools.pairwise(arrived)]
    assert max(gaps) < 0.5


def test_streamed_tool_calls_come_together_again(client: OpenAI):
    calls = [Call("get_weather", '{"city": "Huế"}'), Call("get_weather", '{"city": "Đà Nẵng"}')]
    script = Script(text="", tool_calls=calls)
    with client.chat.completions.stream(
        model="qwen-plus", messages=said(script), tools=[WEATHER]
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    made: Any = final.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in made] == ["Huế", "Đà Nẵng"]


def test_the_stream_helper_puts_the_answer_together(client: OpenAI):
    with client.chat.completions.stream(
        model="qwen-turbo",
        messages=said(Script(chunks=5, reasoning="hm")),
        stream_options={"include_usage": True},
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "w0 w1 w2 w3 w4 "
    assert final.usage is not None
    assert final.usage.completion_tokens == 6


def test_leaving_a_stream_stops_the_upstream(customer: Customer, client: OpenAI):
    script = Script(chunks=500, gap_ms=20, tag=f"leaving-{time.time_ns()}")
    stream = ask(client, script, stream=True)
    next(stream)
    stream.close()
    deadline = time.monotonic() + 5
    while not (entry := received(customer, script.tag)[0])["is_disconnected"]:
        assert time.monotonic() < deadline, "the upstream still streams to nobody"
        time.sleep(0.05)
    assert entry["events_sent"] < 100
    assert ask(client, Script(text="still here")).choices[0].message.content == "still here"


@pytest.mark.parametrize("ending", ["reset", "close", "half", "error", "garbage"])
def test_a_stream_that_breaks_off_is_an_error_and_never_an_end(client: OpenAI, ending: Any):
    script = Script(chunks=9, gap_ms=20, cut_after=4, ending=ending)
    texts = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in ask(client, script, stream=True):
            assert chunk.choices[0].finish_reason is None
            texts.append(chunk.choices[0].delta.content or "")
    assert "".join(texts) == "w0 w1 w2 w3 "
    assert caught.value.type == "server_error"
