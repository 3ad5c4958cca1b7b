"""The order in which a model's channels are tried."""

import time
from collections import Counter

import pytest

from providers import catalog
from providers.adapters import DIALECTS
from providers.catalog import Catalog, ChannelFacts, ChannelHealth, ModelFacts, ModelNotFound
from providers.http1 import Target

TARGET = Target.of("http://127.0.0.1/v1", {})


def _channel(number: int, priority: int = 10, weight: int = 1) -> ChannelFacts:
    return ChannelFacts(
        number, "p", DIALECTS["openai"], TARGET, "m", "", priority, weight, False, ChannelHealth()
    )


def _model(*channels: ChannelFacts) -> ModelFacts:
    return ModelFacts(1, "m", "o", 1, 1000, 100, {}, False, channels)


def _order(model: ModelFacts) -> list[int]:
    return [channel.id for channel in model.ordered_channels()]


def test_lower_priority_numbers_come_first() -> None:
    assert _order(_model(_channel(1, 20), _channel(2, 10), _channel(3, 15))) == [2, 3, 1]


def test_equals_share_by_weight_and_each_comes_once() -> None:
    model = _model(_channel(1, weight=9), _channel(2, weight=1))
    orders = [_order(model) for _ in range(2000)]
    assert {tuple(sorted(order)) for order in orders} == {(1, 2)}
    assert 1600 < Counter(order[0] for order in orders)[1] < 1950


def test_a_channel_that_failed_comes_last_until_it_has_cooled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = _channel(1, 10), _channel(2, 20)
    model, now = _model(first, second), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first.health.fail()
    assert _order(model) == [2, 1]
    now[0] += 1.01
    assert _order(model) == [1, 2]


def test_failures_in_a_row_double_the_cooldown_up_to_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    health, seen = ChannelHealth(), []
    for _ in range(50):
        health.fail()
        seen.append(health.cools_until)
    assert seen[:5] == [1, 2, 4, 8, 16]
    assert seen[-1] == catalog.COOLDOWN_SECONDS_MAX
    health.succeed()
    assert (health.failures, health.cools_until) == (0, 0)


def test_where_all_channels_cool_all_are_tried_all_the_same() -> None:
    channels = [_channel(1, 10), _channel(2, 20)]
    for channel in channels:
        channel.health.fail()
    assert _order(_model(*channels)) == [1, 2]


def test_a_name_nobody_has_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        Catalog({}).get("m")
