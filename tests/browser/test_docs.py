"""Somebody reads the documentation before they sign up."""

import urllib.request

from playwright.sync_api import Page, expect

INTEGRATIONS = ("LangChain", "Vercel AI SDK", "LiteLLM", "Open WebUI", "Continue", "Cline")


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def test_a_reader_finds_their_way_through_the_documentation(quiet: Page, base_url: str) -> None:
    quiet.goto(base_url)
    quiet.get_by_role("link", name="Docs", exact=True).first.click()
    nav = quiet.get_by_role("navigation", name="Documentation")
    tabs = quiet.locator("[data-tabs]").first
    for language, words in (("Python", "from openai import OpenAI"), ("Node", "import OpenAI"),
                            ("curl", "curl ")):  # fmt: skip
        tabs.get_by_text(language, exact=True).first.click()
        shown = tabs.locator("pre:visible")
        expect(shown).to_have_count(1)
        expect(shown).to_contain_text(words)
        expect(shown).to_contain_text(f"{base_url}/v1")

    nav.get_by_role("link", name="Billing rules").click()
    expect(quiet.locator("article table").first).to_be_visible()
    expect(quiet.locator("article")).to_contain_text("organization_spend_cap_reached")
    source = quiet.get_by_role("link", name="This page as Markdown").get_attribute("href")
    assert source and source.endswith(".md")
    assert fetch(base_url + source).startswith("# Billing")
    assert source in fetch(f"{base_url}/llms.txt")

    nav.get_by_role("link", name="Integrations").click()
    for name in INTEGRATIONS:
        expect(quiet.get_by_role("heading", name=name)).to_be_visible()
    nav.get_by_role("link", name="Image generation").click()
    expect(quiet.locator("article")).to_contain_text("Coming soon")

    quiet.get_by_role("searchbox").fill("max_tokens")
    quiet.get_by_role("searchbox").press("Enter")
    expect(quiet.locator(".hits a").first).to_be_visible()
    quiet.locator(".hits").get_by_role("link", name="API reference").click()
    expect(quiet.locator("article")).to_contain_text("/v1/chat/completions")
    expect(quiet.locator("article")).to_contain_text("max_tokens")
