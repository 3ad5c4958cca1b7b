"""A customer as the official clients' suites see one: a base URL and keys, of the running product.

The suites themselves know nothing else of it, so they also run in processes of their own
(another SDK version, Node), which get the same facts as JSON.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest

from tests.stack import Stack
from tests.upstream import ScriptedUpstream, add_channel_arguments, credential

VARIABLE = "TTONK_TEST_CUSTOMER"
MODELS = ("qwen-turbo", "qwen-plus", "qwen-max", "deepseek-chat", "deepseek-reasoner")


@dataclass(frozen=True)
class Customer:
    """One organization with money, and keys that lack something."""

    base_url: str  # with /v1
    upstream_url: str  # where /received tells what arrived
    api_key: str
    key_of_the_poor: str  # another organization's, whose wallet is empty
    key_for_turbo: str  # may use qwen-turbo only
    key_once_a_minute: str

    def as_environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}


@pytest.fixture(scope="session")
def model_server() -> Iterator[ScriptedUpstream]:
    """The upstream behind every model of the running product, for the whole session."""
    with ScriptedUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def customer(stack: Stack, model_server: ScriptedUpstream) -> Customer:
    """The running product's customer, for every suite of the session."""
    return enrol(stack, model_server)


def enrol(product: Stack, upstream: ScriptedUpstream) -> Customer:
    """Two organizations made as an operator makes them, every model served by `upstream`."""
    product.environment.update(credential())
    for model in MODELS:
        product.manage(*add_channel_arguments(model, upstream))
    rich = _organization(product, "Clients at work", "alice@clients.example", "100.00")
    poor = _organization(product, "Clients without", "charlie@clients.example", "0")
    customer = Customer(
        base_url=f"{product.base_url}/v1",
        upstream_url=upstream.url,
        api_key=_key(product, rich),
        key_of_the_poor=_key(product, poor),
        key_for_turbo=_key(product, rich, "--models", "qwen-turbo"),
        key_once_a_minute=_key(product, rich, "--rpm", "1"),
    )
    _wait_until_served(customer)
    upstream.reset()
    return customer


def _organization(product: Stack, name: str, owner: str, credit: str) -> str:
    made = product.manage(
        "create_organization", name, "--owner", owner, "--plan", "business", "--credit", credit
    )
    return str(made["organization"])


def _key(product: Stack, organization: str, *limits: str) -> str:
    return str(product.manage("create_key", organization, *limits)["api_key"])


def _wait_until_served(customer: Customer, *, seconds: float = 15.0) -> None:
    """The gateway hears of new channels by notification, a moment after the command."""
    deadline = time.monotonic() + seconds
    for model in MODELS:
        while not _is_served(customer, model):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{model} is not served after {seconds:g} s")
            time.sleep(0.1)


def _is_served(customer: Customer, model: str) -> bool:
    body = {"model": model, "messages": [{"role": "user", "content": "are you there"}]}
    request = urllib.request.Request(
        f"{customer.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {customer.api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
