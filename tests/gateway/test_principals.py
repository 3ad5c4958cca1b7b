"""Keys are looked up many at a time; strangers with well-formed ones are slowed down."""

import asyncio
from typing import Any

import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateway.errors import TooManyWrongKeys
from gateway.lookups import Lookups, Row
from gateway.principals import STRANGERS_MAX, Strangers
from tests import factories


def dsn() -> str:
    """Of the test's own database."""
    params = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return make_conninfo(**{name: params[name] for name in names if params.get(name)})


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


class Counted(Lookups):
    """Real look-ups, with a note of how many keys each query asked for."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        super().__init__(pool)
        self.sizes: list[int] = []

    async def _ask(self, digests: list[str]) -> dict[str, Row]:
        self.sizes.append(len(digests))
        return await super()._ask(digests)


@pytest.fixture
def digests(transactional_db: None) -> list[str]:
    """Of twenty keys that the database has."""
    organization = factories.cast().organization
    return [factories.key(organization).row.digest for _ in range(20)]


async def test_callers_that_ask_at_once_share_queries_and_each_gets_its_own(
    digests: list[str],
) -> None:
    async with AsyncConnectionPool(dsn(), min_size=1, max_size=1, open=False) as pool:
        lookups = Counted(pool)
        rows = await asyncio.gather(*(lookups.find(one) for one in [*digests, "unknown", *digests]))
    assert [row and row["digest"] for row in rows] == [*digests, None, *digests]
    assert sum(lookups.sizes) == 21
    assert len(lookups.sizes) <= 2


@pytest.mark.django_db(transaction=True)
async def test_a_query_that_fails_fails_for_those_who_asked_and_not_for_the_next() -> None:
    async with AsyncConnectionPool(dsn(), min_size=1, max_size=1, open=False) as pool:
        lookups = Lookups(pool)
        async with pool.connection(timeout=5) as taken:
            with pytest.raises((PoolTimeout, TimeoutError)):
                await asyncio.gather(lookups.find("one"), lookups.find("two"))
            await taken.execute("SELECT 1")
        assert await lookups.find("one") is None
