"""An operator's day at the desk, in a browser: every journey ends in the audit log."""

import csv
import re
import time
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import desk as desks
from tests.browser.acts import sign_in
from tests.browser.test_first_request import call
from tests.customers import Customer
from tests.stack import Stack
from tests.upstream import ScriptedUpstream, add_channel_arguments

HEARD_SECONDS = 15.0


@pytest.fixture(scope="module")
def facts(stack: Stack, base_url: str) -> dict[str, Any]:
    return desks.set_elsewhere(stack.environment)


@pytest.fixture(scope="module")
def cookies(browser: Browser, base_url: str, facts: dict[str, Any]) -> dict[str, list[Any]]:
    """Of both operators, who sign in once."""
    found = {}
    for name in ("olga", "otto"):
        context = browser.new_context()
        sign_in(context.new_page(), base_url, facts[name], facts["password"])
        found[name] = context.cookies()
        context.close()
    return found


@pytest.fixture
def olga(quiet: Page, base_url: str, cookies: dict[str, list[Any]]) -> Page:
    """At the front page."""
    quiet.context.add_cookies(cookies["olga"])
    quiet.goto(f"{base_url}/admin/")
    return quiet


@pytest.fixture
def otto(browser: Browser, base_url: str, cookies: dict[str, list[Any]]) -> Iterator[Page]:
    """Her colleague, in a browser of his own."""
    with browser.new_context() as context:
        context.add_cookies(cookies["otto"])
        page = context.new_page()
        page.goto(f"{base_url}/admin/")
        yield page


def go(page: Page, name: str) -> None:
    """By the rail."""
    page.get_by_role("navigation", name="Operations").get_by_role(
        "link", name=name, exact=True
    ).click()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.locator("main").get_by_role("link", name=name, exact=True).click()


def jump(page: Page, text: str) -> None:
    """The one search of the rail."""
    page.get_by_role("searchbox", name="Search for anything").first.fill(text)
    page.keyboard.press("Enter")


def expect_said(page: Page, words: str) -> None:
    expect(page.locator(".messagelist")).to_contain_text(words)


def expect_logged(page: Page, who: str, *done: str) -> None:
    """The audit log knows each of these as the doing of `who`."""
    go(page, "Audit log")
    page.get_by_role("searchbox", name="Search", exact=True).fill(who)
    page.keyboard.press("Enter")
    words = page.locator("td.field-words")
    for one in done:
        expect(words.get_by_text(one, exact=True).first).to_be_visible()


def test_a_customer_is_found_credited_by_two_suspended_and_looked_at(
    olga: Page, otto: Page, base_url: str, facts: dict[str, Any]
) -> None:
    expect(olga.get_by_role("heading", name="Revenue, 30 days")).to_be_visible()
    jump(olga, facts["organization"])
    heading = olga.get_by_role("heading", level=1)
    expect(heading).to_contain_text(facts["organization"])
    expect(olga.get_by_text(f"{facts['owner']} · Owner")).to_be_visible()

    credit(olga, "2.50", "Thanks for the report")
    expect_said(olga, "$2.50 moved.")
    credit(olga, "250", "The outage")
    expect_said(olga, "Asked for: another operator has to agree.")
    expect(olga.get_by_role("button", name="Refuse")).to_be_visible()
    expect(olga.get_by_role("button", name="Approve")).to_have_count(0)
    otto.goto(olga.url)
    press(otto, "Approve")
    expect_said(otto, "Approved: $250.00 moved.")

    jump(olga, facts["organization"])
    expect(olga.locator(".field-balance")).to_contain_text("$253.50")
    follow(olga, "Suspend")
    expect(olga.get_by_text("is refused with a 403")).to_be_visible()
    press(olga, "Suspend")
    expect_said(olga, "Suspended: its requests are refused.")
    expect_status(base_url, facts["key"], 403)
    follow(olga, "Resume")
    press(olga, "Resume")
    expect_said(olga, "It is served again.")
    expect_status(base_url, facts["key"], 200)

    press(olga, "Open dashboard as owner")
    expect(olga).to_have_url(re.compile("/overview$"))
    bar = olga.locator(".impersonation")
    expect(bar).to_contain_text(facts["organization"])
    bar.get_by_role("button", name="Leave").click()
    expect(olga).to_have_url(re.compile("/admin/accounts/organization/"))
    expect_logged(olga, facts["olga"], "Adjusted the balance", "Asked for an adjustment",
                  "Suspended the organization", "Resumed the organization")  # fmt: skip
    expect_logged(otto, facts["otto"], "Approved an adjustment")


def expect_status(base_url: str, key: str, wanted: int) -> None:
    """Of a chat request with this key, as soon as the gateway has heard of the change."""
    deadline = time.monotonic() + HEARD_SECONDS
    while True:
        try:
            call(base_url, key)
            status = 200
        except urllib.error.HTTPError as error:
            status = error.code
        if status == wanted:
            return
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


def credit(page: Page, usd: str, reason: str) -> None:
    follow(page, "Credit or debit")
    page.get_by_label("Amount, USD").fill(usd)
    page.get_by_label("Reason").fill(reason)
    press(page, "Go on")


def test_a_request_is_found_a_channel_tried_and_a_price_to_come_taken_back(
    olga: Page, facts: dict[str, Any], stack: Stack, customer: Customer,
    model_server: ScriptedUpstream,
) -> None:  # fmt: skip
    jump(olga, call(stack.base_url, customer.api_key))
    heading = olga.get_by_role("heading", level=1)
    expect(heading).to_contain_text("Request")

    spare = add_channel_arguments("qwen-turbo", model_server, "qwen-spare", priority=90)
    stack.manage(*spare)
    go(olga, "Channels")
    olga.get_by_role("searchbox", name="Search", exact=True).fill("qwen-spare")
    olga.keyboard.press("Enter")
    olga.locator("#result_list tbody th a").click()
    press(olga, "Send a test request")
    expect_said(olga, "It answers (")
    press(olga, "Disable")
    expect_said(olga, "Disabled.")
    press(olga, "Enable")
    expect_said(olga, "Enabled: it is tried from now on.")

    go(olga, "Prices")
    follow(olga, "Add price")
    make_price(olga, datetime.now(UTC) + timedelta(days=400))
    expect(heading).to_contain_text("New price of qwen-max from")
    expect(olga.get_by_role("row", name=re.compile("^Output"))).to_contain_text("$7.77")
    press(olga, "Make this the price")
    expect_said(olga, "was added successfully")
    olga.locator("#result_list tr", has_text="A year ahead").locator("th a").click()
    follow(olga, "Cancel this price")
    expect(olga.get_by_text("the price before it goes on")).to_be_visible()
    press(olga, "Cancel this price")
    expect_said(olga, "The price is taken back.")
    expect_logged(olga, facts["olga"], "Tried a channel", "Changed the catalog",
                  "Added to the catalog", "Took a price back before it was in force")  # fmt: skip


def make_price(page: Page, at: datetime) -> None:
    page.locator("[name=model]").select_option(label="qwen-max")
    page.locator("[name=effective_at_0]").fill(f"{at:%Y-%m-%d}")
    page.locator("[name=effective_at_1]").fill("00:00:00")
    page.locator("[name=note]").fill("A year ahead")
    page.locator("[name=rates-0-input_nanos]").fill("3")
    page.locator("[name=rates-0-output_nanos]").fill("7.77")
    page.locator("[name=_save]").click()


def test_codes_are_made_a_transfer_confirmed_and_refunded_once_and_what_is_parked_decided(
    olga: Page, facts: dict[str, Any], tmp_path: Path
) -> None:
    go(olga, "Redeem codes")
    follow(olga, "Make codes")
    olga.get_by_label("What each is worth, USD").fill("5")
    olga.get_by_label("How many").fill("3")
    olga.get_by_label("Batch").fill("launch 2026")
    with olga.expect_download() as download:
        press(olga, "Make and download")
    download.value.save_as(tmp_path / "codes.csv")
    rows = list(csv.DictReader((tmp_path / "codes.csv").open()))
    assert [(row["usd"], row["batch"]) for row in rows] == [("5.00", "launch 2026")] * 3

    jump(olga, facts["transfer"])
    confirm(olga, "249.99", f"B-1 {facts['transfer']}")
    expect(olga.get_by_text("Not credited:")).to_be_visible()
    go(olga, "Payments")
    jump(olga, facts["transfer"])
    confirm(olga, "250", f"B-2 {facts['transfer']}")
    expect_said(olga, "Credited.")
    refund_twice(olga)

    go(olga, "Payment messages")
    event = olga.locator("#result_list tr", has_text=f"B-1 {facts['transfer']}")
    event.locator("th a").click()
    follow(olga, "Dealt with by hand")
    press(olga, "Dealt with by hand")
    expect_said(olga, "Put away: nothing was moved.")
    jump(olga, facts["parked"])
    follow(olga, "It was never charged")
    press(olga, "It was never charged")
    expect_said(olga, "Given up: nothing was credited.")
    expect_logged(olga, facts["olga"], "Made redeem codes", "Confirmed a payment",
                  "Refunded a top-up", "Dealt with a parked payment message by hand",
                  "Gave a parked payment up")  # fmt: skip


def confirm(page: Page, usd: str, entry: str) -> None:
    follow(page, "Confirm the bank transfer")
    page.get_by_label("What arrived, USD").fill(usd)
    page.get_by_label("Entry of the statement").fill(entry)
    press(page, "Confirm")


def refund_twice(page: Page) -> None:
    """The form in two tabs, sent in each: one refund."""
    follow(page, "Refund")
    tab = page.context.new_page()
    tab.goto(page.url)
    for one, said in ((page, "Refunded; the ledger follows its provider."),
                      (tab, "a refund was made after you opened the form")):  # fmt: skip
        one.get_by_label("Amount, USD").fill("10")
        press(one, "Refund")
        expect_said(one, said)
    tab.close()
    follow(page, "Refund")
    expect(page.get_by_text("$240.00 of it can be sent back.")).to_be_visible()


def test_an_invoice_is_given_back_in_part_margins_read_and_a_bill_compared(
    olga: Page, facts: dict[str, Any]
) -> None:
    jump(olga, facts["invoice"])
    follow(olga, "Issue a credit note")
    olga.get_by_label("Amount with tax, USD").fill("12.50")
    olga.get_by_label("Reason").fill("A slow week")
    press(olga, "Issue")
    expect_said(olga, "Issued, and credited to the balance.")

    go(olga, "Revenue and margin")
    olga.get_by_label("First day").fill(facts["day"])
    olga.get_by_label("Last day").fill(facts["day"])
    press(olga, "Show")
    figures = olga.get_by_role("region", name="Figures")
    for shown in ("$2.00", "$1.50", "$0.50", "25.0 % of the revenue"):
        expect(figures).to_contain_text(shown)

    go(olga, "Upstream bills")
    olga.locator(".object-tools .addlink").click()
    olga.get_by_label("Provider").select_option("deepseek")
    olga.get_by_label("File").set_input_files(
        {"name": "amount.csv", "mimeType": "text/csv", "buffer": facts["bill"].encode()}
    )
    press(olga, "Import and compare")
    expect_said(olga, "Imported and compared.")
    day = olga.get_by_role("row", name=re.compile(facts["day"]))
    expect(day).to_contain_text("deepseek-flash")
    expect(day).to_contain_text("Reconciled")
    expect_logged(olga, facts["olga"], "Issued a credit note", "Imported an upstream’s bill")


def test_the_rail_opens_on_a_phone_and_nothing_is_wider_than_it(olga: Page, base_url: str) -> None:
    olga.set_viewport_size({"width": 390, "height": 844})
    expect(olga.get_by_role("link", name="Channels")).to_be_hidden()
    olga.get_by_role("button", name="Menu").click()
    olga.get_by_role("link", name="Channels").click()
    expect(olga.get_by_role("heading", level=1)).to_have_text("Channels")
    for path in ("", "accounts/organization/", "billing/usagerecord/", "providers/price/add/",
                 "catalog-file/", "find/?q=clients", "billing/plan/add/"):  # fmt: skip
        olga.goto(f"{base_url}/admin/{path}")
        assert olga.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
