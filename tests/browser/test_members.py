"""The story of a team: an owner invites a developer, who joins and may do what developers may."""

import re
import secrets
import time

import psycopg
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_first_request import sign_up
from tests.stack import Stack

MAILED_SECONDS = 30.0


def mailed_link(stack: Stack, address: str) -> str:
    """The link in the mail to this address: still waiting to be sent, or sent by a worker, which
    prints its mails here."""
    deadline = time.monotonic() + MAILED_SECONDS
    while time.monotonic() < deadline:
        with psycopg.connect(stack.database_url) as connection:
            rows = connection.execute(
                "SELECT text FROM accounts_outgoingmail WHERE recipient = %s", (address,)
            ).fetchall()
        texts = [row[0] for row in rows]
        if "worker" in stack.processes:
            texts += stack.log("worker").split("Subject: ")
        for text in texts:
            found = re.search(r"https?://\S+/invitations/[\w-]+", text)
            if found and (rows or f"To: {address}" in text):
                return found[0]
        time.sleep(0.2)
    raise TimeoutError(f"no mail to {address}")


def test_an_invited_developer_joins_and_may_do_what_developers_may(
    quiet: Page, browser: Browser, base_url: str, stack: Stack
) -> None:
    sign_up(quiet, base_url)
    address = f"{secrets.token_hex(6)}@example.com"
    quiet.get_by_role("link", name="Settings", exact=True).click()
    quiet.get_by_role("link", name="Members", exact=True).click()
    quiet.get_by_label("Email").fill(address)
    quiet.get_by_label("Role").select_option("developer")
    quiet.get_by_role("button", name="Send invitation").click()
    expect(quiet.get_by_text(f"Invitation sent to {address}.")).to_be_visible()

    context = browser.new_context()
    page = context.new_page()
    page.goto(mailed_link(stack, address))
    page.get_by_role("link", name="Create account").click()
    expect(page.get_by_label("Email")).to_have_value(address)
    page.get_by_label("Password").fill(secrets.token_urlsafe(12))
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("Your role: Developer.")).to_be_visible()

    page.get_by_role("link", name="Keys", exact=True).click()
    page.get_by_role("link", name="New key").click()
    expect(page.get_by_role("button", name="Create key")).to_be_visible()
    page.get_by_role("link", name="Settings", exact=True).click()
    expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    expect(page.get_by_role("link", name="Delete")).to_have_count(0)
    page.get_by_role("link", name="Members", exact=True).click()
    expect(page.get_by_role("button", name="Send invitation")).to_have_count(0)
    for path in ("/settings/audit-log", "/settings/delete", "/billing/plans/pro"):
        answer = page.goto(base_url + path)
        assert answer is not None and answer.status == 403, path

    quiet.reload()
    quiet.get_by_role("link", name=f"Manage {address}").click()
    quiet.get_by_label("Role").select_option("viewer")
    quiet.get_by_role("button", name="Save").click()
    expect(quiet.get_by_text("Saved.")).to_be_visible()
    answer = page.goto(f"{base_url}/keys/new")
    assert answer is not None and answer.status == 403
    context.close()

    quiet.get_by_role("link", name="Audit log").click()
    expect(quiet.get_by_text(f"Changed a role {address}")).to_be_visible()
    expect(quiet.get_by_text(f"Joined {address}")).to_be_visible()
