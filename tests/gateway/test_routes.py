"""The process's snapshot of the catalog outlives the connection it was read by."""

import asyncio

import pytest
from django.db import connection

from gateway.routes import Routes
from providers import seed


def hang_up_on_everybody_else() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.django_db(transaction=True)
def test_the_catalog_is_read_again_after_the_database_hung_up() -> None:
    seed.plant({})
    routes = Routes()
    with asyncio.Runner() as runner:  # whose threads stay
        runner.run(routes.refresh())
        hang_up_on_everybody_else()
        runner.run(routes.refresh())
    assert routes.is_loaded
