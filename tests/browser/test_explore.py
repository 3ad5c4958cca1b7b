"""Models and status as anybody finds them."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_first_request import sign_up
from tests.stack import Stack


def test_models_are_filtered_by_address_and_tried_in_the_playground(
    quiet: Page, base_url: str
) -> None:
    sign_up(quiet, base_url)
    quiet.goto(f"{base_url}/models")
    names = quiet.locator("tbody .row-link")
    expect(names).to_have_count(5)
    quiet.get_by_role("link", name="Reasoning", exact=True).click()
    expect(names).to_have_text(["qwen-turbo", "qwen-plus", "deepseek-reasoner"])
    quiet.get_by_label("Search models").fill("deepseek")
    quiet.keyboard.press("Enter")
    expect(names).to_have_text(["deepseek-reasoner"])
    assert "can=reasoning" in quiet.url
    assert "q=deepseek" in quiet.url
    quiet.reload()
    expect(names).to_have_text(["deepseek-reasoner"])
    names.click()
    expect(quiet.get_by_role("heading", level=1)).to_contain_text("deepseek-reasoner")
    quiet.locator(".tabs-bar label", has_text="Python").click()
    expect(quiet.locator(".code pre").nth(1)).to_contain_text('model="deepseek-reasoner"')
    quiet.get_by_role("link", name="Try in playground").click()
    expect(quiet.get_by_label("Model", exact=True)).to_have_value("deepseek-reasoner")
    expect(quiet.get_by_label("Reasoning effort")).to_be_visible()
    quiet.get_by_label("Model", exact=True).select_option("qwen-max")
    expect(quiet.get_by_label("Reasoning effort")).to_be_hidden()


@pytest.fixture
def unprobed(stack: Stack) -> Iterator[Stack]:
    """The product without a probe, now and after: each minute keeps its first one."""
    tables = "gateway_probeminute, gateway_probeday, gateway_incident"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {tables}")
        yield stack
        connection.execute(f"TRUNCATE {tables}")


def test_the_status_page_claims_nothing_then_tells_what_the_probes_find(
    quiet: Page, base_url: str, unprobed: Stack
) -> None:
    def api() -> str:
        quiet.goto(f"{base_url}/status")
        return quiet.locator(".component", has_text="API gateway").locator(".badge").inner_text()

    assert api() == "No recent data"
    expect(quiet.get_by_role("heading", level=1)).to_have_text("No recent data")

    found = unprobed.manage("probe_components")
    assert (found["api"], found["database"], found["valkey"]) == ("up", "up", "up")
    assert api() == "Operational"

    with psycopg.connect(unprobed.database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE gateway_probeminute")
    address = unprobed.environment.get("TTONK_STATUS_PROBE_URL")
    unprobed.environment["TTONK_STATUS_PROBE_URL"] = "http://127.0.0.1:1"  # nobody answers there
    try:
        assert unprobed.manage("probe_components")["api"] == "down"
    finally:
        unprobed.environment.pop("TTONK_STATUS_PROBE_URL")
        if address is not None:
            unprobed.environment["TTONK_STATUS_PROBE_URL"] = address
    assert api() == "Down"
    expect(quiet.get_by_role("heading", level=1)).to_have_text("The service is down")
    incident = quiet.locator("tbody tr").first
    expect(incident).to_contain_text("API gateway")
    expect(incident).to_contain_text("Going on")
