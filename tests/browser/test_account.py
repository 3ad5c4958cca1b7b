"""The story of a person's own account: a code, a passkey, sessions, and their data."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

PASSWORD = "a long password for this journey"


def sign_up(page: Page, base_url: str) -> str:
    """A fresh person who is signed in; their address."""
    email = f"{secrets.token_hex(6)}@example.com"
    page.goto(f"{base_url}/accounts/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page).to_have_url(f"{base_url}/welcome")
    return email


def sign_out(page: Page) -> None:
    page.locator(".rail-foot summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def sign_in(page: Page, base_url: str, email: str) -> None:
    page.goto(f"{base_url}/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def confirm(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def code(secret: str) -> str:
    """What an authenticator app shows now (RFC 6238)."""
    counter = int(time.time()) // 30
    mac = hmac.digest(base64.b32decode(secret), counter.to_bytes(8, "big"), hashlib.sha1)
    start = mac[-1] & 15
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def test_an_authenticator_app_is_added_and_asked_for_at_the_next_sign_in(
    quiet: Page, base_url: str
) -> None:
    email = sign_up(quiet, base_url)
    quiet.goto(f"{base_url}/account/two-factor")
    expect(quiet.get_by_text("Two-factor authentication is off.")).to_be_visible()
    quiet.get_by_role("link", name="Set up").click()
    confirm(quiet)
    expect(quiet.get_by_alt_text("QR code for the authenticator app")).to_be_visible()
    quiet.get_by_text("Cannot scan it?").click()
    secret = quiet.locator(".secret code").text_content() or ""
    quiet.get_by_label("Code").fill(code(secret))
    quiet.get_by_role("button", name="Turn on").click()
    expect(quiet.get_by_role("heading", name="Recovery codes")).to_be_visible()
    shown = quiet.locator(".recovery code").text_content() or ""
    assert len(shown.split()) == 10

    sign_out(quiet)
    sign_in(quiet, base_url, email)
    expect(quiet.get_by_role("heading", name="Second step")).to_be_visible()
    quiet.goto(f"{base_url}/overview")
    expect(quiet.get_by_role("heading", name="Overview")).to_be_hidden()
    quiet.goto(f"{base_url}/accounts/code/")
    quiet.get_by_label("Code").fill(shown.split()[0])
    quiet.get_by_role("button", name="Sign in", exact=True).click()
    quiet.goto(f"{base_url}/account/two-factor")
    expect(quiet.get_by_text("9 codes left")).to_be_visible()

    sign_out(quiet)
    sign_in(quiet, base_url, email)
    quiet.get_by_label("Code").fill(code(secret))
    quiet.get_by_role("button", name="Sign in", exact=True).click()
    quiet.goto(f"{base_url}/account/two-factor")
    expect(quiet.get_by_text("Two-factor authentication is on.")).to_be_visible()


def test_a_passkey_is_added_and_signs_in_alone(browser: Browser, base_url: str) -> None:
    here = f"http://localhost:{urlsplit(base_url).port}"  # an address has no passkeys, a name does
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    sign_up(page, here)
    page.goto(f"{here}/account/two-factor")
    page.get_by_role("link", name="Add a passkey").click()
    confirm(page)
    page.get_by_label("Name").fill("My laptop")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("The passkey was added.")).to_be_visible()
    page.goto(f"{here}/account/two-factor")
    expect(page.get_by_text("My laptop").first).to_be_visible()

    sign_out(page)
    page.goto(f"{here}/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(lambda now: "/accounts/" not in now)
    page.goto(f"{here}/account/two-factor")
    page.get_by_role("link", name="Remove My laptop").click()
    page.get_by_role("button", name="Use a passkey").or_(
        page.get_by_role("link", name="Use a passkey instead")
    ).first.click()
    remove = page.get_by_role("button", name="Remove the passkey")
    if not remove.is_visible():
        page.get_by_role("button", name="Use a passkey").click()
    remove.click()
    expect(page.get_by_text("Two-factor authentication is off.")).to_be_visible()
    assert said == []
    context.close()


def test_another_session_is_seen_and_ended(quiet: Page, browser: Browser, base_url: str) -> None:
    email = sign_up(quiet, base_url)
    phone = browser.new_context(
        user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1"
    ).new_page()
    sign_in(phone, base_url, email)
    phone.goto(f"{base_url}/account")
    expect(phone.get_by_role("heading", name="Account")).to_be_visible()

    quiet.goto(f"{base_url}/account/sessions")
    quiet.get_by_role("button", name="Sign out Safari on iPhone").click()
    expect(quiet.get_by_text("That session was signed out.")).to_be_visible()
    phone.goto(f"{base_url}/account")
    expect(phone.get_by_role("heading", name="Sign in")).to_be_visible()
    phone.context.close()


def test_a_person_downloads_their_data(quiet: Page, base_url: str) -> None:
    email = sign_up(quiet, base_url)
    quiet.goto(f"{base_url}/account/data")
    with quiet.expect_download() as caught:
        quiet.get_by_role("button", name="Download my data").click()
    found = json.loads(Path(caught.value.path()).read_text())
    assert found["profile"]["email"] == email
    assert [one["role"] for one in found["organizations"]] == ["owner"]
    assert len(found["sessions"]) == 1


def test_a_person_leaves_for_good(quiet: Page, base_url: str) -> None:
    email = sign_up(quiet, base_url)
    quiet.goto(f"{base_url}/account/data")
    quiet.get_by_role("link", name="Delete my account…").click()
    confirm(quiet)
    expect(quiet.get_by_text("One organization is only yours and is deleted too.")).to_be_visible()
    quiet.get_by_label("Your email address").fill(email)
    quiet.get_by_role("button", name="Delete my account").click()
    expect(quiet.get_by_role("heading", name="Your account is deleted")).to_be_visible()
    sign_in(quiet, base_url, email)
    expect(quiet.get_by_role("heading", name="Sign in")).to_be_visible()
