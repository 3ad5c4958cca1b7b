"""Streams rewritten event by event, and put together again."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering import Meter
from gateway.relaying import Aggregate, Relay
from providers.adapters import DIALECTS
from providers.upstream import StreamDied, event_of


def _relay(*, wants_usage: bool = False) -> Relay:
    meter = Meter(context_tokens=1_000, output_tokens_max=100)
    return Relay(
        completion_id="chatcmpl-1", created=5, model="public", wants_usage=wants_usage,
        meter=meter, dialect=DIALECTS["openai"],
    )  # fmt: skip


def _chunk(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "theirs", "created": 1, "model": "their-name", "choices": [choice]}


def _translate(relay: Relay, chunks: list[dict[str, Any]]) -> tuple[bytes, list[str]]:
    data, texts, error = relay.translate([json.dumps(chunk).encode() for chunk in chunks])
    assert error is None
    return data, texts


def _events(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in data.decode().split("\n\n") if line]


def test_one_id_one_name_and_the_role_once_for_each_choice() -> None:
    relay = _relay()
    chunks = [_chunk(index, role="assistant", content="x") for index in (0, 1, 0, 1)]
    events = _events(_translate(relay, chunks)[0])
    assert {(e["id"], e["created"], e["model"], e["object"]) for e in events} == {
        ("chatcmpl-1", 5, "public", "chat.completion.chunk")
    }
    assert ["role" in e["choices"][0]["delta"] for e in events] == [True, True, False, False]


@pytest.mark.parametrize("wants_usage", [False, True])
def test_usage_is_read_and_then_null_or_gone(wants_usage: bool) -> None:
    relay = _relay(wants_usage=wants_usage)
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    alone = {**_chunk(), "choices": [], "usage": usage}
    (event,) = _events(_translate(relay, [{**_chunk(content="x"), "usage": usage}, alone])[0])
    assert event.get("usage", "gone") == (None if wants_usage else "gone")
    assert relay._meter.reported is not None
    assert relay._meter.reported.prompt == 3


def test_what_came_before_a_bad_event_is_relayed() -> None:
    payloads = [json.dumps(_chunk(content=text)).encode() for text in "ab"]
    data, texts, error = _relay().translate([*payloads, b'{"choices":[1]}', payloads[0]])
    assert (len(_events(data)), texts) == (2, ["a", "b"])
    assert isinstance(error, StreamDied)


def test_the_usage_chunk_has_no_choices() -> None:
    (event,) = _events(_relay().usage_chunk({"total_tokens": 4}))
    assert (event["choices"], event["usage"]) == ([], {"total_tokens": 4})


def test_all_that_a_model_says_is_text_to_the_meter() -> None:
    function = {"name": "f", "arguments": "{}"}
    _, texts = _translate(
        _relay(),
        [
            _chunk(content="a"),
            _chunk(reasoning_content="b"),
            _chunk(refusal="c"),
            _chunk(tool_calls=[{"index": 0, "function": function}]),
            _chunk(function_call=function),
            _chunk(content="", tool_calls=None),
        ],
    )
    assert texts == ["a", "b", "c", "f", "{}", "f", "{}"]


def test_a_stream_is_finished_once_every_choice_that_began_is() -> None:
    relay = _relay()
    _translate(relay, [_chunk(0, content="x"), _chunk(1, content="x"), _chunk(0, "stop")])
    assert not relay.is_finished
    _translate(relay, [_chunk(1, "length")])
    assert relay.is_finished


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "content", "tool_calls", "function", "error",
                             "logprobs", "finish_reason", "function_call", "arguments"]),
            inner, max_size=4,
        )
    ),
    max_leaves=15,
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional={"choices": st.lists(_json, max_size=3),
                                           "usage": _json, "error": _json}))  # fmt: skip
def test_events_of_any_shape_are_relayed_or_end_the_stream(event: dict[str, Any]) -> None:
    payload = json.dumps(event).encode()
    _relay().translate([payload])
    with contextlib.suppress(StreamDied):
        Aggregate().add([event_of(payload)])


@given(st.lists(_json, max_size=3))
def test_what_was_put_together_of_any_shapes_can_be_said(choices: list[Any]) -> None:
    whole = Aggregate()
    for choice in choices:
        with contextlib.suppress(StreamDied):
            whole.add([{"choices": [choice]}])
    json.dumps(whole.body())


def test_fragments_of_tool_calls_are_joined_in_their_places() -> None:
    whole = Aggregate()
    first = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"y"'}}
    for calls in (
        [first],
        [{"index": 0, "function": {"arguments": '{"x"'}}, second],
        [{"index": 1, "function": {"arguments": ":2}"}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
    ):
        whole.add([_chunk(tool_calls=calls)])
    whole.add([_chunk(finish="tool_calls")])
    (choice,) = whole.body()["choices"]
    assert [(c["id"], c["function"]) for c in choice["message"]["tool_calls"]] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "g", "arguments": '{"y":2}'}),
    ]
    assert whole.is_finished


@pytest.mark.parametrize("index", [-1, 128, 10**9, "0"])
def test_a_tool_call_without_a_place_ends_the_stream(index: Any) -> None:
    with pytest.raises(StreamDied):
        Aggregate().add([_chunk(tool_calls=[{"index": index, "function": {"name": "f"}}])])


def test_reasoning_text_logprobs_and_usage_are_put_together() -> None:
    whole = Aggregate()
    lists = [{"content": [{"token": token}], "refusal": None} for token in "ab"]
    whole.add([_chunk(reasoning_content="th"), _chunk(reasoning_content="ink")])
    for token, logprobs in zip("ab", lists, strict=True):
        chunk = _chunk(content=token)
        chunk["choices"][0]["logprobs"] = logprobs
        whole.add([chunk])
    assert not whole.is_finished
    whole.add([_chunk(finish="stop"), {"choices": [], "usage": {"total_tokens": 4}}])
    body = whole.body()
    (choice,) = body["choices"]
    assert choice["message"]["reasoning_content"] == "think"
    assert choice["message"]["content"] == "ab"
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["a", "b"]
    assert body["usage"] == {"total_tokens": 4}


def test_choices_come_in_order_of_their_index() -> None:
    whole = Aggregate()
    whole.add([_chunk(1, "stop", content="b"), _chunk(0, "stop", content="a")])
    assert [choice["message"]["content"] for choice in whole.body()["choices"]] == ["a", "b"]
