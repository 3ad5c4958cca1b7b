"""The story of a receiver: added, tested, told of a key; it fails, and is told again."""

import secrets

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_first_request import sign_up
from tests.receiver import Answer, Receiver, ids
from tests.stack import Stack

SENT_MS = 20_000  # a worker looks every two seconds


@pytest.fixture
def worker(stack: Stack) -> None:
    stack.start_worker()


def look_until(page: Page, word: str) -> None:
    """The page again, as a person would look, until its first badge says so."""
    badge = page.locator("h1 .badge")
    waited = 0
    while badge.text_content() != word and waited < SENT_MS:
        page.wait_for_timeout(500)
        waited += 500
        page.reload()
    expect(badge).to_have_text(word)


def test_an_endpoint_is_added_tested_and_told_again_what_it_refused(
    quiet: Page, base_url: str, stack: Stack, worker: None
) -> None:
    sign_up(quiet, base_url)
    with Receiver() as receiver:
        quiet.get_by_role("link", name="Settings", exact=True).click()
        quiet.get_by_role("link", name="Webhooks").click()
        expect(quiet.get_by_text("Be told when something happens")).to_be_visible()
        quiet.get_by_role("link", name="Add an endpoint").click()
        quiet.get_by_label("Description").fill("Board")
        quiet.get_by_label("Address").fill(receiver.url)
        quiet.get_by_role("button", name="Add endpoint").click()
        secret = quiet.locator("[data-secret]").text_content()
        assert secret and secret.startswith("whsec_")
        quiet.get_by_role("link", name="I have stored it").click()
        expect(quiet.get_by_text("Nothing sent yet")).to_be_visible()
        assert "whsec_" not in quiet.content()

        receiver.answers = [Answer(503, body=b"not now, please")]
        quiet.get_by_role("button", name="Send a test event").click()
        look_until(quiet, "Retrying")
        expect(quiet.get_by_text("not now, please")).to_be_visible()
        look_until(quiet, "Delivered")
        quiet.get_by_role("button", name="Send again").click()
        expect(quiet.get_by_text("On its way again.")).to_be_visible()
        look_until(quiet, "Delivered")
        assert len(receiver.got) == 3
        assert len(set(ids(receiver.got))) == 1
        expect(quiet.locator("tbody tr")).to_have_count(3)

        quiet.get_by_role("link", name="Keys", exact=True).click()
        quiet.get_by_role("link", name="New key").click()
        quiet.get_by_label("Name").fill("Nightly")
        quiet.get_by_role("button", name="Create key").click()
        assert b'"key.created"' in receiver.wait_for(4)[3].body

        quiet.get_by_role("link", name="Settings", exact=True).click()
        quiet.get_by_role("link", name="Webhooks").click()
        quiet.get_by_role("link", name="Board").click()
        quiet.get_by_role("link", name="Rotate").click()
        quiet.get_by_role("button", name="Make the new secret").click()
        newer = quiet.locator("[data-secret]").text_content()
        assert newer and newer != secret
        quiet.get_by_role("link", name="I have stored it").click()
        quiet.get_by_role("button", name="Send a test event").click()
        look_until(quiet, "Delivered")
        assert len(receiver.got[4].headers["webhook-signature"].split()) == 2
        quiet.get_by_role("link", name="Board").click()
        quiet.get_by_role("button", name="Switch off").click()
        expect(quiet.locator("h1 .badge")).to_have_text("Off")
        quiet.get_by_role("link", name="Delete").click()
        quiet.get_by_role("button", name="Delete").click()
        expect(quiet.get_by_text("Be told when something happens")).to_be_visible()
    for name in ("gateway", "worker"):
        log = stack.log(name)
        for one in (secret, newer):
            assert one.removeprefix("whsec_") not in log


def test_all_of_it_works_without_javascript(
    browser: Browser, base_url: str, stack: Stack, worker: None
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base_url}/accounts/signup/")
    page.get_by_label("Email").fill(f"{secrets.token_hex(6)}@example.com")
    page.get_by_label("Password").fill(secrets.token_urlsafe(12))
    page.get_by_role("button", name="Create account").click()
    with Receiver() as receiver:
        page.goto(f"{base_url}/settings/webhooks/new")
        page.get_by_label("Address").fill("https://10.0.0.8/hooks")
        page.get_by_label("Description").fill("Board")
        page.get_by_role("button", name="Add endpoint").click()
        expect(page.get_by_text("does not lead to a public address")).to_be_visible()
        expect(page.get_by_label("Description")).to_have_value("Board")
        page.get_by_label("Address").fill(receiver.url)
        page.get_by_label("key.revoked").uncheck()
        page.get_by_role("button", name="Add endpoint").click()
        page.get_by_role("link", name="I have stored it").click()
        page.get_by_role("button", name="Send a test event").click()
        look_until(page, "Delivered")
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_text("On its way again.")).to_be_visible()
        assert len(receiver.wait_for(2)) == 2
    context.close()
