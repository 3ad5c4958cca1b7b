"""Keys, usage and the log of requests, as one customer works with them."""

import csv
import urllib.error
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.test_first_request import SHOWS_UP_MS, call, sign_up
from tests.stack import Stack


def make_key(page: Page, name: str) -> str:
    """A new key by its form; the secret."""
    page.get_by_role("link", name="Keys", exact=True).click()
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name").fill(name)
    page.get_by_text("Limit what it may do").click()
    page.get_by_label("Daily spend cap").fill("5")
    page.get_by_label("Requests per minute").fill("600")
    page.get_by_role("button", name="Create key").click()
    return secret_of(page)


def secret_of(page: Page) -> str:
    return (page.locator("[data-secret]").text_content() or "").strip()


def rotate(page: Page, overlap: str) -> str:
    page.get_by_role("link", name="Rotate", exact=True).click()
    page.get_by_label("The old key works for another").select_option(overlap)
    page.get_by_role("button", name="Make the new key").click()
    return secret_of(page)


def is_refused(base_url: str, key: str) -> bool:
    try:
        call(base_url, key)
    except urllib.error.HTTPError as error:
        assert error.code == 401
        return True
    return False


def wait_until_refused(page: Page, base_url: str, key: str) -> None:
    """Gateways hear of it at commit; a snapshot lives five seconds at most."""
    for _ in range(30):
        if is_refused(base_url, key):
            return
        page.wait_for_timeout(500)
    raise AssertionError("the key still works")


def test_a_key_is_made_changed_rotated_with_an_overlap_and_revoked(
    quiet: Page, base_url: str
) -> None:
    sign_up(quiet, base_url)
    first = make_key(quiet, "Backend")
    assert call(base_url, first)
    quiet.get_by_role("link", name="I have stored it").click()
    expect(quiet.get_by_text("of $5.00")).to_be_visible()

    quiet.get_by_role("link", name="Change", exact=True).click()
    quiet.get_by_label("Monthly spend cap").fill("20")
    quiet.get_by_role("button", name="Save").click()
    expect(quiet.get_by_text("of $20.00")).to_be_visible()

    second = rotate(quiet, "hour")
    expect(quiet.get_by_text("works until")).to_be_visible()
    assert call(base_url, first) and call(base_url, second)
    quiet.get_by_role("link", name="I have stored it").click()
    expect(quiet.get_by_role("heading", name="Rotations")).to_be_visible()
    expect(quiet.locator(".lineage li")).to_have_count(2)

    third = rotate(quiet, "no time: it stops at once")
    wait_until_refused(quiet, base_url, second)
    assert call(base_url, third) and call(base_url, first)
    quiet.get_by_role("link", name="I have stored it").click()

    quiet.get_by_role("link", name="Revoke", exact=True).click()
    quiet.get_by_role("button", name="Revoke key").click()
    expect(quiet.get_by_text("“Backend” is revoked")).to_be_visible()
    wait_until_refused(quiet, base_url, third)

    quiet.get_by_label("Status").select_option("Revoked or expired")
    quiet.get_by_role("button", name="Filter").click()
    expect(quiet.locator("tbody tr")).to_have_count(2)


def test_usage_is_narrowed_compared_and_downloaded(
    quiet: Page, base_url: str, stack: Stack, tmp_path: Path
) -> None:
    stack.start_worker()
    key = sign_up(quiet, base_url)
    for _ in range(3):
        call(base_url, key)
    for _ in range(SHOWS_UP_MS // 1000):
        quiet.goto(f"{base_url}/usage?period=7d&show=requests")
        if quiet.locator(".legend b", has_text="3").count():
            break
        quiet.wait_for_timeout(1000)
    quiet.get_by_role("link", name="Key", exact=True).click()
    quiet.get_by_role("cell").get_by_role("link", name="First key").click()
    expect(quiet.locator(".chip")).to_contain_text("First key")
    quiet.get_by_role("link", name="Compare").click()
    expect(quiet.locator("tbody").get_by_text("new")).to_be_visible()

    quiet.locator(".chart-plot").focus()
    quiet.keyboard.press("End")
    expect(quiet.locator("[data-readout]")).to_contain_text("First key")
    expect(quiet.locator("[data-readout]")).to_contain_text("before 0")
    quiet.get_by_text("Show as a table").click()
    expect(quiet.locator(".chart-table tbody tr")).to_have_count(7)

    with quiet.expect_download() as started:
        quiet.get_by_role("link", name="CSV").click()
    file = tmp_path / "usage.csv"
    started.value.save_as(file)
    [line] = list(csv.DictReader(file.open()))
    assert line["requests"] == "3" and line["group"].startswith("First key")
    quiet.locator(".chip").click()
    expect(quiet.locator(".chip")).to_have_count(0)


def test_the_log_follows_pauses_filters_and_finds(quiet: Page, base_url: str) -> None:
    key = sign_up(quiet, base_url)
    first = call(base_url, key)
    quiet.get_by_role("link", name="Requests", exact=True).click()
    rows = quiet.locator("[data-live-rows] tr")
    expect(rows).to_have_count(1)
    expect(quiet.get_by_text("Live", exact=True)).to_be_visible()

    call(base_url, key)
    expect(rows).to_have_count(2, timeout=10_000)

    quiet.get_by_role("button", name="Pause").click()
    expect(quiet.get_by_text("Paused", exact=True)).to_be_visible()
    call(base_url, key)
    expect(rows).to_have_count(2)
    quiet.get_by_role("button", name="Resume").click()
    expect(rows).to_have_count(3, timeout=10_000)

    quiet.get_by_label("Status").select_option("Failed")
    quiet.get_by_role("button", name="Filter").click()
    expect(quiet.get_by_text("No request fits")).to_be_visible()
    assert "status=error" in quiet.url

    quiet.get_by_label("Find a request by its id").fill(first)
    quiet.keyboard.press("Enter")
    expect(quiet.get_by_text("Recomputed, agrees")).to_be_visible()
    quiet.get_by_role("heading", name="As JSON").click()
    expect(quiet.locator(".code code")).to_contain_text(first)
