"""Bodies as bytes: valid ones keep what they say, all others are a 400 and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import payload
from gateway.errors import InvalidRequest
from gateway.payload import DEPTH_MAX, IMAGE_TOKENS_MAX

OK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def _parse(**fields: Any) -> payload.ChatRequest:
    return payload.parse(json.dumps({**OK, **fields}).encode())


def _with_parts(*parts: Any) -> payload.ChatRequest:
    return _parse(messages=[{"role": "user", "content": list(parts)}])


def _nested(levels: int) -> bytes:
    return b'{"model":"m","x":' + b"[" * levels + b"]" * levels + b"}"


def test_depth_is_counted_outside_strings_only() -> None:
    brackets = "[{" * 200 + '\\"' + "[" * 100
    assert _parse(messages=[{"role": "user", "content": brackets}]).chat.messages[0].content
    with pytest.raises(InvalidRequest, match="deeper than 64"):
        payload.parse(_nested(DEPTH_MAX))
    with pytest.raises(InvalidRequest, match="messages"):
        payload.parse(_nested(DEPTH_MAX - 1))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"user": "a\0b"}, "user"),
        ({"metadata": {"a\0": 1}}, "metadata"),
        ({"unknown": [{"deep": ["\0"]}]}, "unknown[0].deep[0]"),
    ],
)
def test_nul_is_refused_wherever_it_stands(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match="NUL") as refusal:
        _parse(**fields)
    assert refusal.value.param == param


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert _parse(user="\\u0000").body["user"] == "\\u0000"


def test_what_steers_credentials_is_dropped_and_what_is_unknown_is_kept() -> None:
    body = _parse(api_key="x", api_base="y", extra_headers={}, top_k=3, big=10**25).body
    assert set(body) == {"model", "messages", "top_k", "big"}
    assert body["big"] == 10**25


def test_explicit_nulls_are_as_good_as_nothing() -> None:
    names = payload.ChatCompletionRequest.__struct_fields__
    request = _parse(**{name: None for name in names if name not in OK})
    assert request.output_tokens_max is None
    assert (request.choices, request.is_stream) == (1, False)


def test_the_prompt_bound_is_above_one_token_a_byte() -> None:
    request = _parse(messages=[{"role": "user", "content": "語" * 1000}])
    assert request.prompt_tokens_max > 3000
    assert request.prompt_tokens_estimate <= request.prompt_tokens_max


def test_an_image_counts_however_its_type_is_spelled_in_the_json() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    plain = json.dumps({**OK, "messages": [{"role": "user", "content": [part]}]})
    hidden = plain.replace("image_url", "image\\u005furl")
    for text in (plain, hidden):
        assert payload.parse(text.encode()).prompt_tokens_max > IMAGE_TOKENS_MAX


def test_what_an_address_hides_counts_as_a_whole_context() -> None:
    request = _with_parts({"type": "video_url", "video_url": {"url": "https://x/long.mp4"}})
    assert request.prompt_tokens_max > 10**9


def test_an_inline_image_is_not_estimated_as_text() -> None:
    url = "data:image/png;base64," + "A" * 4_000_000
    request = _with_parts({"type": "image_url", "image_url": {"url": url}})
    assert request.prompt_tokens_estimate < 2_000
    assert request.prompt_tokens_max > IMAGE_TOKENS_MAX


def test_a_refusal_does_not_repeat_megabytes() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        _parse(messages=[{"role": "w" * 1_000_000, "content": "x"}])
    assert len(refusal.value.message) < 400


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)
_names = st.sampled_from(payload.ChatCompletionRequest.__struct_fields__)


@given(st.dictionaries(_names, _json, max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_json_is_a_request_or_an_invalid_request(fields: dict[str, Any]) -> None:
    for body in (fields, {**OK, **fields}):
        try:
            request = payload.parse(json.dumps(body).encode())
        except InvalidRequest as error:
            assert error.message
        else:
            assert 0 < request.prompt_tokens_estimate <= request.prompt_tokens_max


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_invalid_request(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        payload.parse(data)
