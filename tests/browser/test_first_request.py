"""The story of a new customer: sign up, paste the key, see the request arrive and what it cost."""

import json
import re
import secrets
import urllib.request

from playwright.sync_api import Browser, Page, expect

from tests.stack import Stack

SHOWS_UP_MS = 45_000  # the rollup runs every few seconds in a worker that starts first


def sign_up(page: Page, base_url: str) -> str:
    """A fresh person on the onboarding page; their key."""
    page.goto(f"{base_url}/accounts/signup/")
    page.get_by_label("Email").fill(f"{secrets.token_hex(6)}@example.com")
    page.get_by_label("Password").fill(secrets.token_urlsafe(12))
    page.get_by_role("button", name="Create account").click()
    expect(page).to_have_url(f"{base_url}/welcome")
    secret = page.locator("[data-secret]").text_content()
    assert secret
    return secret.strip()


def call(base_url: str, key: str) -> str:
    """One chat request as the shown curl sends it; its id."""
    body = {"model": "qwen-turbo", "messages": [{"role": "user", "content": "Say hello."}]}
    request = urllib.request.Request(
        f"{base_url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.headers["x-request-id"])


def test_a_new_customer_sees_the_first_request_arrive_by_itself(
    quiet: Page, base_url: str, stack: Stack
) -> None:
    stack.start_worker()
    key = sign_up(quiet, base_url)
    curl = quiet.locator(".code pre").first.text_content() or ""
    assert key in curl
    assert f"{base_url}/v1/chat/completions" in curl
    expect(quiet.get_by_text("Waiting for your first request")).to_be_visible()

    request_id = call(base_url, key)

    expect(quiet.get_by_text("First request received.")).to_be_visible(timeout=10_000)
    expect(quiet.locator("[data-model]")).to_have_text("qwen-turbo")
    expect(quiet.locator("[data-charge]")).to_have_text(re.compile(r"\$0\.0*[1-9]"))

    quiet.get_by_role("link", name="See its receipt").click()
    expect(quiet.get_by_text(request_id, exact=True)).to_be_visible()
    expect(quiet.get_by_text("Recomputed, agrees")).to_be_visible()

    def reload_until_it_shows() -> None:
        for _ in range(SHOWS_UP_MS // 1000):
            quiet.goto(f"{base_url}/usage")
            if quiet.locator(".bar").count():
                return
            quiet.wait_for_timeout(1000)

    reload_until_it_shows()
    expect(quiet.locator(".legend")).to_contain_text("qwen-turbo")


def test_the_story_works_without_javascript(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    key = sign_up(page, base_url)
    page.locator(".tabs-bar label", has_text="Python").click()
    expect(page.locator(".code pre").nth(1)).to_be_visible()
    call(base_url, key)
    page.get_by_role("link", name="Check again").click()
    expect(page.get_by_text("First request received.")).to_be_visible()
    assert key not in page.content()
    context.close()


def test_a_key_is_made_shown_once_and_revoked(quiet: Page, base_url: str) -> None:
    sign_up(quiet, base_url)
    quiet.get_by_role("link", name="Keys", exact=True).click()
    quiet.get_by_role("link", name="New key").click()
    quiet.get_by_label("Name").fill("Nightly jobs")
    quiet.get_by_role("button", name="Create key").click()
    secret = (quiet.locator("[data-secret]").text_content() or "").strip()
    assert call(base_url, secret)
    quiet.get_by_role("link", name="I have stored it").click()
    assert secret not in quiet.content()
    quiet.get_by_role("link", name="Revoke", exact=True).click()
    quiet.get_by_role("button", name="Revoke key").click()
    expect(quiet.get_by_text("“Nightly jobs” is revoked")).to_be_visible()


def test_the_copy_button_copies_the_key(browser: Browser, base_url: str) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    key = sign_up(page, base_url)
    page.locator("[data-copy-scope] [data-copy]").click()
    expect(page.locator("[data-copy-scope] .is-done")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    context.close()
