"""One laboratory for all journeys: they run one after the other, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys import laboratory
from tests.journeys.callers import Caller
from tests.journeys.laboratory import Laboratory
from tests.journeys.members import Member

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("journeys"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("laboratory")
    with laboratory.opened(folder) as made:
        yield made


@pytest.fixture(autouse=True)
def _mended(lab: Laboratory) -> Iterator[None]:
    """A journey that broke off leaves a running gateway to the next one all the same."""
    yield
    if not lab.is_ready():
        lab.restart_gateway()


@pytest.fixture(scope="session")
def alice(lab: Laboratory) -> Member:
    """A customer with money and the largest plan, whose requests are known by their ids."""
    member = lab.sign_up("alice@example.com", "Alice at work")
    lab.stack.manage("top_up", member.organization, "100", "--reason", "paid by card")
    lab.stack.manage("set_plan", member.organization, "business")
    return member


@pytest.fixture
def caller(lab: Laboratory, alice: Member) -> Caller:
    return lab.caller(alice.first_key)
