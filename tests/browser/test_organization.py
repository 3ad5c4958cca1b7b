"""An owner at work: projects with budgets, a cap, plans up and down, an invoice, and the end."""

import json
import urllib.error
from datetime import UTC, datetime

import psycopg
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_billing import balance, choose
from tests.browser.test_first_request import call, sign_up
from tests.browser.test_members import mailed_link
from tests.stack import Stack

TOLD_MS = 20_000


def slug(page: Page) -> str:
    """The organization's id, as its settings show it."""
    page.get_by_role("link", name="Settings", exact=True).click()
    return (page.locator("dl.facts .mono").first.text_content() or "").strip()


def refusal(base_url: str, key: str) -> str:
    """The code of the error that a request gets; empty where it is answered."""
    try:
        call(base_url, key)
    except urllib.error.HTTPError as error:
        return str(json.load(error)["error"]["code"])
    return ""


def wait_for(page: Page, base_url: str, key: str, code: str) -> None:
    """Gateways hear of a project's budget at commit."""
    for _ in range(TOLD_MS // 250):
        if refusal(base_url, key) == code:
            return
        page.wait_for_timeout(250)
    raise AssertionError(f"never {code or 'answered'}")


def test_a_projects_budget_and_the_organizations_cap_stop_requests_until_they_are_raised(
    quiet: Page, base_url: str
) -> None:
    first = sign_up(quiet, base_url)
    quiet.get_by_role("link", name="Settings", exact=True).click()
    quiet.get_by_role("link", name="Projects", exact=True).click()
    quiet.get_by_role("link", name="New project").click()
    quiet.get_by_label("Name").fill("Chatbot")
    quiet.get_by_label("Monthly budget").fill("0.000001")
    quiet.get_by_role("button", name="Create project").click()
    expect(quiet.get_by_text("“Chatbot” is ready for keys.")).to_be_visible()

    quiet.get_by_role("link", name="Keys", exact=True).click()
    quiet.get_by_role("link", name="New key").click()
    quiet.get_by_label("Name").fill("Of the chatbot")
    quiet.get_by_label("Project").select_option(label="Chatbot")
    quiet.get_by_role("button", name="Create key").click()
    second = (quiet.locator("[data-secret]").text_content() or "").strip()
    assert refusal(base_url, second) == "project_budget_reached"
    assert refusal(base_url, first) == "", "another project has no budget"
    quiet.goto(f"{base_url}/settings/projects")
    quiet.get_by_role("link", name="Edit Chatbot").click()
    quiet.get_by_label("Monthly budget").fill("5")
    quiet.get_by_role("button", name="Save").click()
    wait_for(quiet, base_url, second, "")

    quiet.get_by_role("link", name="Billing", exact=True).click()
    choose(quiet, "Limits")
    quiet.get_by_role("spinbutton", name="Cap").fill("0.000001")
    quiet.get_by_role("button", name="Set the cap").click()
    expect(quiet.get_by_text("Usage stops at $0.000001 a month.")).to_be_visible()
    for key in (first, second):
        assert refusal(base_url, key) == "organization_spend_cap_reached"
    quiet.get_by_role("link", name="Overview", exact=True).click()
    expect(quiet.get_by_text("The monthly cap refuses requests.")).to_be_visible()
    quiet.get_by_role("link", name="Spend limits").click()
    quiet.get_by_role("spinbutton", name="Cap").fill("")
    quiet.get_by_role("button", name="Set the cap").click()
    expect(quiet.get_by_text("There is no cap now.")).to_be_visible()
    assert refusal(base_url, first) == ""

    quiet.get_by_role("link", name="Settings", exact=True).click()
    quiet.get_by_role("link", name="Audit log").click()
    for words in ("Created a project", "Changed a project’s budget",
                  "Changed the monthly spend cap"):  # fmt: skip
        expect(quiet.get_by_text(words).first).to_be_visible()


def test_a_plan_goes_up_and_down_within_its_bounds_and_the_month_is_invoiced(
    page: Page, base_url: str, stack: Stack
) -> None:
    key = sign_up(page, base_url)
    call(base_url, key)
    organization = slug(page)
    stack.manage("top_up", organization, "200", "--reason", "Bank transfer 7")
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("UPDATE billing_plan SET projects_max = 1 WHERE slug = 'starter'")
    try:
        page.get_by_role("link", name="Projects", exact=True).click()
        page.get_by_role("link", name="New project").click()
        page.get_by_label("Name").fill("Second")
        page.get_by_role("button", name="Create project").click()
        expect(page.get_by_text("Your plan allows 1 project")).to_be_visible()
        expect(page.get_by_label("Name")).to_have_value("Second")
        page.get_by_role("link", name="Compare plans").click()
        page.get_by_role("link", name="Change to Pro").click()
        page.get_by_role("button", name="Change to Pro").click()
        expect(page.get_by_text("You are on the Pro plan.")).to_be_visible()
        page.goto(f"{base_url}/settings/projects/new")
        page.get_by_label("Name").fill("Second")
        page.get_by_role("button", name="Create project").click()
        expect(page.get_by_text("“Second” is ready for keys.")).to_be_visible()
    finally:
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("UPDATE billing_plan SET projects_max = NULL")

    page.get_by_role("link", name="Billing", exact=True).click()
    paid = float(balance(page).removeprefix("$"))
    choose(page, "Plan")
    page.get_by_role("link", name="Change to Starter").click()
    page.get_by_role("button", name="Change to Starter").click()
    expect(page.get_by_role("link", name="Keep Pro")).to_be_visible()
    page.get_by_role("link", name="Keep Pro").click()
    page.get_by_role("button", name="Keep Pro").click()
    expect(page.get_by_role("link", name="Keep Pro")).to_have_count(0)
    choose(page, "History")
    expect(page.locator("tbody")).to_contain_text("Pro")
    choose(page, "Balance")
    assert float(balance(page).removeprefix("$")) == paid, "nothing was charged for going down"

    choose(page, "Details")
    page.get_by_label("Company").fill("Acme GmbH")
    page.get_by_label("Country").select_option("DE")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    month = f"{datetime.now(UTC):%Y-%m}"
    stack.manage("close_month", month, "--organization", organization, "--allow-current")
    choose(page, "Invoices")
    page.locator("a.row-link").first.click()
    expect(page.get_by_text("Acme GmbH")).to_be_visible()
    expect(page.locator("tbody").first).to_contain_text("qwen-turbo")
    files = {}
    for name in ("Download PDF", "CSV"):
        with page.expect_download() as caught:
            page.get_by_role("link", name=name, exact=True).click()
        files[name] = caught.value.path().read_bytes()
    assert files["Download PDF"].startswith(b"%PDF")
    assert b"qwen-turbo" in files["CSV"]


def test_a_member_of_two_organizations_switches_and_an_owner_deletes_theirs(
    quiet: Page, browser: Browser, base_url: str, stack: Stack
) -> None:
    sign_up(quiet, base_url)
    slug(quiet)
    quiet.get_by_label("Name").fill("Alpha Ltd")
    quiet.get_by_role("button", name="Save").click()
    context = browser.new_context()
    guest = context.new_page()
    guest_key = sign_up(guest, base_url)
    own = slug(guest)
    guest.get_by_role("link", name="Settings", exact=True).click()
    guest.get_by_label("Name").fill("Beta Ltd")
    guest.get_by_role("button", name="Save").click()
    address = (guest.locator(".account-name").text_content() or "").strip()

    quiet.get_by_role("link", name="Members", exact=True).click()
    quiet.get_by_label("Email").fill(address)
    quiet.get_by_label("Role").select_option("viewer")
    quiet.get_by_role("button", name="Send invitation").click()
    guest.goto(mailed_link(stack, address))
    guest.get_by_role("button", name="Join").click()
    expect(guest.locator("summary.org")).to_contain_text("Alpha Ltd")
    guest.locator("summary.org").click()
    guest.get_by_role("button", name="Beta Ltd").click()
    expect(guest.locator("summary.org")).to_contain_text("Beta Ltd")

    assert slug(guest) == own
    guest.get_by_role("link", name="Delete", exact=True).click()
    guest.get_by_label("Type the organization’s name").fill("Beta Ltd")
    guest.get_by_role("checkbox").check()
    guest.get_by_role("button", name="Delete it for good").click()
    expect(guest.get_by_text("Beta Ltd is deleted")).to_be_visible()
    wait_for(guest, base_url, guest_key, "invalid_api_key")
    guest.goto(f"{base_url}/overview")
    expect(guest.get_by_text("Alpha Ltd").first).to_be_visible()
    context.close()
