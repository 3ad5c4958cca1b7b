"""A real browser in front of the running product."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from config.launcher.tools import find_chromium
from tests.browser.tour import ARGUMENTS
from tests.customers import Customer
from tests.stack import Stack


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    return {"executable_path": str(find_chromium()), "args": ARGUMENTS}


@pytest.fixture(scope="session")
def base_url(stack: Stack, customer: Customer) -> str:
    """Of the product, once every model has its upstream."""
    assert customer.base_url.startswith(stack.base_url)
    return stack.base_url


@pytest.fixture
def quiet(page: Page) -> Iterator[Page]:
    """A page whose console stays empty: no error, nothing the content policy had to refuse."""
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    assert said == []
