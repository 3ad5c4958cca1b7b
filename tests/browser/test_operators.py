"""An operator's story: find a customer, credit them, see their dashboard, and come back."""

import re
import secrets
import subprocess
import sys

from playwright.sync_api import Page, expect

from tests.browser.acts import sign_in
from tests.stack import PROJECT, Stack

PASSWORD = secrets.token_urlsafe(12)


def operator(stack: Stack) -> str:
    """A new superuser's address."""
    email = f"olga-{secrets.token_hex(4)}@example.com"
    environment = stack.environment | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    command = [sys.executable, "manage.py", "createsuperuser", "--noinput", "--email", email]
    subprocess.run(command, env=environment, cwd=PROJECT, check=True, timeout=60)
    return email


def test_an_operator_credits_a_customer_and_looks_at_their_dashboard(
    quiet: Page, base_url: str, stack: Stack
) -> None:
    sign_in(quiet, base_url, operator(stack), PASSWORD)
    quiet.goto(f"{base_url}/admin/")
    expect(quiet.get_by_role("heading", name="Revenue, 30 days")).to_be_visible()

    quiet.goto(f"{base_url}/admin/accounts/organization/?q=Clients+at+work")
    quiet.get_by_role("link", name="Clients at work").click()
    expect(quiet.get_by_text("alice@clients.example · Owner")).to_be_visible()
    quiet.get_by_role("link", name="Credit or debit").click()
    quiet.get_by_label("Amount, USD").fill("2.50")
    quiet.get_by_label("Reason").fill("Thanks for the report")
    quiet.get_by_role("button", name="Go on").click()
    expect(quiet.get_by_text("$2.50 moved.")).to_be_visible()

    quiet.get_by_role("button", name="Open dashboard as owner").click()
    expect(quiet).to_have_url(re.compile("/overview$"))
    bar = quiet.locator(".impersonation")
    expect(bar).to_contain_text("Clients at work")
    quiet.goto(f"{base_url}/billing")
    expect(bar).to_be_visible()
    bar.get_by_role("button", name="Leave").click()
    expect(quiet).to_have_url(re.compile("/admin/accounts/organization/"))
    expect(quiet.get_by_role("button", name="Open dashboard as owner")).to_be_visible()
