from collections.abc import Iterator

import httpx
import pytest

from tests import foundation  # noqa: F401  (lays plans and accounts after every flush)
from tests.customers import Customer
from tests.gateway.wire import Wire
from tests.stack import Stack
from tests.upstream import ScriptedUpstream


@pytest.fixture
def wire(stack: Stack, customer: Customer, model_server: ScriptedUpstream) -> Iterator[Wire]:
    model_server.reset()
    with httpx.Client(base_url=stack.base_url, timeout=30) as http:
        yield Wire(stack, customer, http)
    model_server.reset()
