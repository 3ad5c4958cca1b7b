"""The product as tests get it: over the wire, on its own database."""

import urllib.error
import urllib.request

import pytest

from tests.stack import Stack


def test_the_stack_answers_and_its_commands_reach_the_same_database(stack: Stack) -> None:
    made = stack.manage("create_organization", "Acme", "--owner", "alice@example.com")
    assert made
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{stack.base_url}/v1/models", timeout=10)
    assert refused.value.code == 401
