"""What is taken from the tokens-per-minute limit before an answer is known."""

import json

import pytest

from gateway import payload
from gateway.estimates import OUTPUT_TOKENS_FIRST, Estimates
from gateway.payload import ChatRequest
from providers.usage import TokenUsage


def _chat(**fields: object) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello there"}], **fields}
    return payload.parse(json.dumps(body).encode())


def _usage(chat: ChatRequest, output: int, *, factor: float = 1.0) -> TokenUsage:
    return TokenUsage(input=int(chat.prompt_tokens_estimate * factor), output=output)


def test_a_client_is_taken_at_its_word() -> None:
    chat = _chat(max_tokens=50, n=3)
    estimates = Estimates()
    assert estimates.tokens(1, chat) == chat.prompt_tokens_estimate + 150
    estimates.learn(1, chat, _usage(chat, 3))
    assert estimates.tokens(1, chat) == chat.prompt_tokens_estimate + 150


def test_without_a_word_the_last_answers_tell() -> None:
    chat, estimates = _chat(), Estimates()
    prompt = chat.prompt_tokens_estimate
    assert estimates.tokens(1, chat) == prompt + OUTPUT_TOKENS_FIRST
    estimates.learn(1, chat, _usage(chat, 6_000))
    assert estimates.tokens(1, chat) == prompt + 6_000
    for _ in range(200):
        estimates.learn(1, chat, _usage(chat, 40))
    assert prompt + 40 <= estimates.tokens(1, chat) <= prompt + 60


def test_what_one_organization_does_says_nothing_of_another() -> None:
    chat, estimates = _chat(), Estimates()
    estimates.learn(1, chat, _usage(chat, 6_000))
    assert estimates.tokens(2, chat) == chat.prompt_tokens_estimate + OUTPUT_TOKENS_FIRST


def test_a_prompt_that_is_denser_than_its_length_says_is_expected_again() -> None:
    chat, estimates = _chat(max_tokens=10), Estimates()
    estimates.learn(1, chat, _usage(chat, 5, factor=2))
    assert estimates.tokens(1, chat) == 2 * chat.prompt_tokens_estimate + 10


def test_habits_are_kept_within_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.estimates.HABITS_MAX", 10)
    chat, estimates = _chat(), Estimates()
    for organization in range(25):
        estimates.learn(organization, chat, _usage(chat, 2_000))
    assert len(estimates._habits) <= 10
