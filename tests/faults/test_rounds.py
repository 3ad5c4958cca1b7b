"""Every round of `make faults`, short and seeded: the whole of it is a command of its own."""

import pytest

from tests.faults.rounds import ROUNDS, Effort, load


@pytest.mark.parametrize("name", ROUNDS)
def test_a_short_round_meets_its_goals(name: str) -> None:
    verdicts = load(name)(Effort.SHORT, 1)
    assert verdicts
    assert not [one.as_line() for one in verdicts if not one.is_met]
