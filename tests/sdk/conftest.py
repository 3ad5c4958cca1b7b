"""The client of most tests here."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.customers import Customer
from tests.sdk.asking import client_of


@pytest.fixture
def client(customer: Customer) -> Iterator[OpenAI]:
    with client_of(customer, customer.api_key) as made:
        yield made
