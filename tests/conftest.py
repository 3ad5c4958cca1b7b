"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.utils import translation

from config.launcher import ports
from tests import stack as stacks
from tests import stripe_server
from tests.customers import customer, model_server

__all__ = ["customer", "model_server", "stack"]


@pytest.fixture(autouse=True)
def own_language() -> Iterator[None]:
    """A page asked for in Chinese leaves its thread speaking it: not to the next test."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.Stack]:
    """The real product over the wire, shared by the session's tests: make your own organizations.

    `stack.start_worker()` adds Celery. Its tests share one xdist process, so one product runs.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    name = f"ttonkapi_stack_{os.getpid()}"
    # Cards are taken from a server that a test which pays with one starts at this address.
    stripe = stripe_server.environment(f"http://127.0.0.1:{ports.pick()}")
    folder = tmp_path_factory.mktemp("stack")
    built = stacks.build(name, int(worker.removeprefix("gw")), folder, None, **stripe)
    yield built
    for running in list(built.processes):
        built.stop(running)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))
