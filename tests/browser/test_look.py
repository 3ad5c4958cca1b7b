"""What holds on every page: it answers the keyboard, and keeps the chosen theme and language."""

from playwright.sync_api import Page, expect

from tests.browser.test_first_request import sign_up


def test_the_first_tab_stop_skips_to_the_content(quiet: Page, base_url: str) -> None:
    quiet.goto(f"{base_url}/docs")
    quiet.keyboard.press("Tab")
    expect(quiet.get_by_role("link", name="Skip to content")).to_be_focused()
    quiet.keyboard.press("Enter")
    expect(quiet.locator("#main")).to_be_focused()


def test_the_language_chosen_once_is_shown_everywhere(quiet: Page, base_url: str) -> None:
    quiet.goto(f"{base_url}/docs")
    quiet.locator(".tabs label", has_text="Python").click()
    quiet.goto(f"{base_url}/docs/streaming")
    expect(quiet.locator(".tabs [value=python]")).to_be_checked()
    quiet.goto(base_url)
    expect(quiet.locator(".hero [value=python]")).to_be_checked()


def test_the_theme_changes_in_place_and_stays(quiet: Page, base_url: str) -> None:
    quiet.goto(base_url)
    quiet.get_by_role("button", name="Dark").click()
    expect(quiet.locator("html")).to_have_attribute("data-theme", "dark")
    quiet.goto(f"{base_url}/docs")
    expect(quiet.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_pages_speak_chinese_where_it_is_chosen(quiet: Page, base_url: str) -> None:
    quiet.goto(f"{base_url}/docs/billing")
    quiet.get_by_role("button", name="简体中文").click()
    expect(quiet.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(quiet.get_by_role("heading", level=1)).to_have_text("计费规则")
    quiet.goto(f"{base_url}/accounts/login/")
    expect(quiet.get_by_role("heading", level=1)).to_have_text("登录")


def test_the_account_menu_closes_on_escape_and_gives_the_focus_back(
    quiet: Page, base_url: str
) -> None:
    sign_up(quiet, base_url)
    summary = quiet.locator(".rail-foot summary")
    summary.click()
    expect(quiet.get_by_role("button", name="Sign out")).to_be_visible()
    quiet.keyboard.press("Escape")
    expect(quiet.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(summary).to_be_focused()
