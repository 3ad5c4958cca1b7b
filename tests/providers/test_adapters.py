"""Each provider's habits, as pure translations of requests and usage."""

from typing import Any

import pytest

from providers.adapters import DIALECTS, WrongUsage
from providers.usage import TokenUsage

MESSAGES = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]


def _request(dialect: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": MESSAGES, **fields}
    before = repr(body)
    translated = DIALECTS[dialect].request(body, "tenant-hash")
    assert repr(body) == before  # another channel may be asked with it next
    return translated


def test_openai_is_sent_what_the_client_said() -> None:
    assert _request("openai", max_completion_tokens=5, user="u") == {
        "model": "m", "messages": MESSAGES, "max_completion_tokens": 5, "user": "u",
    }  # fmt: skip


@pytest.mark.parametrize("dialect", ["dashscope", "deepseek"])
def test_newer_words_become_the_older_ones(dialect: str) -> None:
    body = _request(dialect, max_completion_tokens=5)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["max_tokens"], "max_completion_tokens" in body) == (5, False)
    assert "max_tokens" not in _request(dialect, max_completion_tokens=None)


def test_deepseek_is_told_the_tenant_and_not_the_clients_own_users() -> None:
    body = _request("deepseek", user="customer's user")
    assert (body["user_id"], "user" in body) == ("tenant-hash", False)


@pytest.mark.parametrize(("kind", "is_kept"), [("disabled", False), ("enabled", True)])
def test_deepseek_gets_an_effort_only_where_it_thinks(kind: str, is_kept: bool) -> None:
    body = _request("deepseek", thinking={"type": kind}, reasoning_effort="high")
    assert ("reasoning_effort" in body) is is_kept


@pytest.mark.parametrize("thinking", ["on", None, 7, []])
def test_deepseek_takes_thinking_of_any_shape_without_failing(thinking: Any) -> None:
    assert _request("deepseek", thinking=thinking)["thinking"] == thinking


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, None),
        ({"enable_thinking": True}, True),
        ({"enable_thinking": False, "reasoning_effort": "high"}, False),
        ({"enable_thinking": None, "reasoning_effort": "low"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": None}, None),
    ],
)
def test_dashscope_thinks_by_a_switch_and_streams_where_it_does(
    fields: dict[str, Any], thinks: bool | None
) -> None:
    body = _request("dashscope", **fields)
    assert body.get("enable_thinking") is thinks
    assert "reasoning_effort" not in body
    assert DIALECTS["dashscope"].must_stream({"messages": MESSAGES, **fields}) is bool(thinks)


def test_the_others_never_insist_on_streaming() -> None:
    assert not DIALECTS["openai"].must_stream({"enable_thinking": True})
    assert not DIALECTS["deepseek"].must_stream({"enable_thinking": True})


def _nested(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_usage_is_taken_apart_into_classes_that_do_not_overlap(dialect: str) -> None:
    usage = DIALECTS[dialect].usage(_nested(100, 50, cached=30, reasoning=20))
    assert usage == TokenUsage(input=70, cached_input=30, output=30, reasoning_output=20)
    assert (usage.prompt, usage.completion, usage.total) == (100, 50, 150)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_null_details_are_none(dialect: str) -> None:
    reported = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}
    assert DIALECTS[dialect].usage(reported) == TokenUsage(input=3, output=2)


def test_deepseeks_cache_hits_are_cached_input() -> None:
    reported = {
        "prompt_tokens": 100, "completion_tokens": 5,
        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
    }  # fmt: skip
    usage = DIALECTS["deepseek"].usage(reported)
    assert (usage.input, usage.cached_input) == (36, 64)


def test_dashscopes_cache_writes_are_a_class_of_their_own() -> None:
    reported = _nested(100, 5, cached=40)
    reported["prompt_tokens_details"]["cache_creation_input_tokens"] = 50
    usage = DIALECTS["dashscope"].usage(reported)
    assert (usage.input, usage.cached_input, usage.cache_write) == (10, 40, 50)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize(
    "reported",
    [
        _nested(-1, 5),
        _nested(10, 5, cached=11),
        _nested(10, 5, reasoning=6),
        {"prompt_tokens": "10", "completion_tokens": 5},
        {"prompt_tokens": 10.5, "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
    ],
)
def test_counts_that_cannot_be_true_are_refused(dialect: str, reported: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage):
        DIALECTS[dialect].usage(reported)
