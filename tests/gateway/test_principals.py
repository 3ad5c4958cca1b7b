"""Strangers with well-formed keys are slowed down, and nobody else."""

import pytest

from gateway.errors import TooManyWrongKeys
from gateway.principals import STRANGERS_MAX, Strangers


def test_an_address_that_keeps_guessing_is_refused_and_others_are_not() -> None:
    strangers = Strangers()
    for _ in range(STRANGERS_MAX):
        strangers.check("192.0.2.1")
        strangers.note("192.0.2.1")
    with pytest.raises(TooManyWrongKeys) as refusal:
        strangers.check("192.0.2.1")
    strangers.check("192.0.2.2")
    assert refusal.value.status == 429
    assert refusal.value.headers == [(b"retry-after", b"10")]


def test_a_stranger_is_forgiven_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = Strangers()
    for _ in range(STRANGERS_MAX):
        strangers.note("192.0.2.1")
    monkeypatch.setattr(strangers, "_since", strangers._since - 11)
    strangers.check("192.0.2.1")
