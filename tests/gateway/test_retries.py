"""The bound on second attempts."""

import pytest

from gateway import retries
from gateway.retries import RetryBudget


class Clock:
    """`time.monotonic`, moved by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retries, "time", clock)
    return clock


def _taken(budget: RetryBudget, wanted: int) -> int:
    return sum(budget.take() for _ in range(wanted))


def test_a_burst_of_failures_is_asked_again_ten_times_a_second(clock: Clock) -> None:
    budget = RetryBudget(processes=1)
    assert _taken(budget, 100) == 10
    assert budget.refused == 90
    clock.now += 0.5
    assert _taken(budget, 100) == 5


def test_all_processes_together_have_ten_a_second(clock: Clock) -> None:
    assert _taken(RetryBudget(processes=2), 100) == 5
    budget = RetryBudget(processes=100)
    assert _taken(budget, 10) == 1, "one at least"
    clock.now += 5
    assert not budget.take()


def test_a_tenth_of_the_requests_is_asked_again_however_many_there_are(clock: Clock) -> None:
    budget = RetryBudget(processes=1)
    _taken(budget, 10)
    taken = 0
    for _ in range(10_000):
        budget.note_request()
        taken += budget.take()
    assert taken == pytest.approx(1_000, abs=1)


def test_quiet_hours_save_nothing_up_for_an_outage(clock: Clock) -> None:
    budget = RetryBudget(processes=1)
    for _ in range(10_000):
        budget.note_request()
    clock.now += 3600
    assert _taken(budget, 100) == 10
