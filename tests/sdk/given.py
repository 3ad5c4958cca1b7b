"""For a pytest of its own: the customer that the process which started it has made."""

import json
import os

import pytest

from tests.customers import VARIABLE, Customer
from tests.sdk.conftest import client

__all__ = ["client", "customer"]


@pytest.fixture(scope="session")
def customer() -> Customer:
    return Customer(**json.loads(os.environ[VARIABLE]))
