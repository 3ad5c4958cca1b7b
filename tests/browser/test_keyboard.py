"""The whole way with the keyboard alone: every key pressed goes to what has the focus, the focus is
seen wherever it is, and it walks through a page in the order the page is read in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.test_first_request import call
from tests.scripts import Script

STOPS_MAX = 60
ANSWER_MS = 15_000
# Of what has the focus: whether losing it changes how the element or what holds it is drawn,
# whether it is in the window, and whether it comes after what had the focus before.
FOCUSED = """() => {
  const now = document.activeElement ?? document.body;
  const before = window.focusedBefore;
  window.focusedBefore = now;
  if (now === before) return { isSame: true };  // a date is three stops in one element
  const chain = [now, now.closest("label"), now.parentElement, now.nextElementSibling,
                 now.closest(".choice-card")].filter(Boolean);
  const look = () => chain.map((one) => {
    const { outlineStyle, outlineWidth, boxShadow, borderColor } = getComputedStyle(one);
    return [outlineStyle === "none" ? "" : outlineWidth, boxShadow, borderColor].join();
  }).join();
  const on = look();
  now.blur();
  const off = look();
  now.focus({ focusVisible: true, preventScroll: true });
  const box = now.getBoundingClientRect();
  return {
    name: now.outerHTML.slice(0, 120),
    isPage: now === document.body,
    isSeen: on !== off,
    isInWindow: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    follows: !before?.isConnected
      || Boolean(before.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING),
  };
}"""

REMEMBER = """() => {
  const now = document.activeElement;
  window.focusedBefore = now === document.body ? null : now;
}"""


@dataclass(frozen=True)
class Keyboard:
    page: Page

    def tab_to(self, wanted: Locator) -> None:
        """Press Tab until it has the focus, looking at every stop on the way."""
        self.page.evaluate(REMEMBER)
        for _ in range(STOPS_MAX):
            if self._is_at(wanted):
                return
            self.page.keyboard.press("Tab")
            at = self.page.evaluate(FOCUSED)
            if "isSame" in at:
                continue
            if at["isPage"]:  # around the end, to the top again
                self.page.evaluate("window.focusedBefore = null")
                continue
            assert at["isSeen"], f"the focus cannot be seen on {at['name']}"
            assert at["isInWindow"], f"{at['name']} is out of sight"
            assert at["follows"], f"the focus jumps back to {at['name']}"
        raise AssertionError(f"{STOPS_MAX} stops, and none is {wanted}")

    def _is_at(self, wanted: Locator) -> bool:
        return wanted.count() == 1 and bool(
            wanted.evaluate("(one) => one === document.activeElement")
        )

    def press(self, wanted: Locator, key: str = "Enter") -> None:
        self.tab_to(wanted)
        self.page.keyboard.press(key)

    def write(self, wanted: Locator, text: str) -> None:
        self.tab_to(wanted)
        self.page.keyboard.type(text)


@pytest.fixture
def keyboard(browser: Browser) -> Iterator[Keyboard]:
    """On a page where nothing moves by itself."""
    context = browser.new_context(reduced_motion="reduce")
    yield Keyboard(context.new_page())
    context.close()


def sign_up(keyboard: Keyboard, base_url: str) -> None:
    page = keyboard.page
    page.goto(f"{base_url}/")
    keyboard.press(page.get_by_role("link", name="Get a key", exact=True))
    expect(page).to_have_url(re.compile("/accounts/signup/"))
    keyboard.write(page.get_by_label("Email"), f"{secrets.token_hex(6)}@example.com")
    keyboard.write(page.get_by_label("Password"), secrets.token_urlsafe(12))
    keyboard.press(page.get_by_role("button", name="Create account"))
    expect(page).to_have_url(f"{base_url}/welcome")


def test_a_customer_signs_up_and_makes_a_key(keyboard: Keyboard, base_url: str) -> None:
    sign_up(keyboard, base_url)
    page = keyboard.page
    keyboard.press(page.get_by_role("link", name="Keys", exact=True))
    expect(page).to_have_url(f"{base_url}/keys")
    keyboard.press(page.get_by_role("link", name="New key"))
    expect(page).to_have_url(f"{base_url}/keys/new")
    keyboard.write(page.get_by_label("Name"), "Nightly jobs")
    keyboard.press(page.get_by_text("Limit what it may do"))
    keyboard.write(page.get_by_label("Requests per minute"), "600")
    keyboard.press(page.get_by_role("button", name="Create key"))
    expect(page.locator("[data-secret]")).to_be_visible()
    secret = (page.locator("[data-secret]").text_content() or "").strip()
    assert call(base_url, secret)
    keyboard.press(page.locator(".tabs-bar [value=curl]"), "ArrowRight")
    expect(page.locator(".tabs-bar [value=python]")).to_be_focused()
    expect(page.locator(".code pre").nth(1)).to_be_visible()


def test_the_menu_opens_is_walked_and_gives_the_focus_back(
    keyboard: Keyboard, base_url: str
) -> None:
    sign_up(keyboard, base_url)
    page = keyboard.page
    summary = page.locator(".rail-foot summary")
    keyboard.press(summary)
    dark = page.get_by_role("button", name="Dark")
    keyboard.press(dark)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(dark).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    keyboard.press(page.get_by_role("button", name="Sign out"))
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_usage_is_filtered(keyboard: Keyboard, base_url: str) -> None:
    sign_up(keyboard, base_url)
    page = keyboard.page
    keyboard.press(page.get_by_role("link", name="Usage", exact=True))
    expect(page).to_have_url(f"{base_url}/usage")
    keyboard.press(page.get_by_role("link", name="7 days"))
    expect(page).to_have_url(re.compile("period=7d"))
    keyboard.press(page.get_by_role("link", name="Tokens", exact=True))
    expect(page).to_have_url(re.compile("period=7d.*show=tokens|show=tokens.*period=7d"))
    last = datetime.now(UTC).date() - timedelta(days=3)
    first = last - timedelta(days=6)
    keyboard.write(page.get_by_label("First day"), f"{first:%m%d%Y}")
    keyboard.write(page.get_by_label("Last day"), f"{last:%m%d%Y}")
    keyboard.press(page.get_by_role("button", name="Show"))
    expect(page).to_have_url(re.compile(f"from={first}&to={last}"))
    expect(page).to_have_url(re.compile("show=tokens"))


def test_a_message_is_sent_stopped_and_taken_away_as_code(
    keyboard: Keyboard, base_url: str
) -> None:
    sign_up(keyboard, base_url)
    page = keyboard.page
    keyboard.press(page.get_by_role("link", name="Playground", exact=True))
    expect(page).to_have_url(f"{base_url}/playground")
    prompt = page.get_by_label("Your message")
    keyboard.write(prompt, "Hello")
    keyboard.press(page.get_by_role("button", name="Send"))
    expect(page.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)
    expect(prompt).to_be_focused()
    keyboard.write(prompt, Script(chunks=300, gap_ms=50).prompt())
    page.keyboard.press("Control+Enter")
    expect(page.locator(".turn").last.locator(".turn-text")).to_contain_text("w5")
    page.keyboard.press("Escape")
    expect(page.locator(".turn .note").last).to_contain_text("Stopped.")
    expect(prompt).to_be_focused()
    view = page.get_by_role("button", name="View code")
    keyboard.press(view)
    keyboard.tab_to(page.locator("dialog .tabs-bar [value=curl]"))
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(view).to_be_focused()


def test_rows_that_arrive_leave_the_focus_where_it_is(keyboard: Keyboard, base_url: str) -> None:
    sign_up(keyboard, base_url)
    page = keyboard.page
    secret = (page.locator("[data-secret]").text_content() or "").strip()
    call(base_url, secret)
    keyboard.press(page.get_by_role("link", name="Requests", exact=True))
    expect(page).to_have_url(f"{base_url}/requests")
    link = page.locator("tbody tr a").first
    keyboard.tab_to(link)
    request_id = call(base_url, secret)
    expect(page.locator("tbody tr")).to_have_count(2, timeout=ANSWER_MS)
    expect(page.locator("tbody tr").first).to_have_attribute(
        "data-id", request_id.removeprefix("req_")
    )
    expect(page.locator("tbody tr a").last).to_be_focused()
