"""The playground against the running product: what it shows, sends, stops and says went wrong."""

import re
import secrets
import urllib.error
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from psycopg.rows import dict_row

from tests.browser.test_first_request import call, sign_up
from tests.scripts import Script
from tests.stack import Stack
from tests.upstream import ScriptedUpstream

# qwen-plus, nanos per token.
INPUT, OUTPUT = 400, 1_200
ANSWER_MS = 15_000
STARTER_REQUESTS = 60  # a minute, of a new customer's plan


@pytest.fixture(autouse=True)
def scripted(model_server: ScriptedUpstream) -> ScriptedUpstream:
    model_server.reset()
    return model_server


def open_playground(page: Page, base_url: str, model: str = "qwen-plus") -> None:
    sign_up(page, base_url)
    page.goto(f"{base_url}/playground?model={model}")
    expect(page.get_by_label("Your message")).to_be_visible()


def ask(page: Page, text: str | Script) -> None:
    page.get_by_label("Your message").fill(text.prompt() if isinstance(text, Script) else text)
    page.keyboard.press("Control+Enter")


def record_of(stack: Stack, page: Page) -> dict[str, Any]:
    """The usage record behind the last answer's receipt."""
    link = page.get_by_role("link", name="Receipt").last.get_attribute("href") or ""
    with psycopg.connect(stack.database_url) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        cursor.execute(
            "SELECT * FROM billing_usagerecord WHERE id = %s", [link.rpartition("req_")[2]]
        )
        row = cursor.fetchone()
    assert row is not None
    return row


def test_an_answer_streams_with_its_reasoning_apart_and_its_exact_cost(
    quiet: Page, base_url: str, stack: Stack
) -> None:
    open_playground(quiet, base_url)
    ask(quiet, Script(text="Hello **there**.", reasoning="They greet me.", chunks=4))
    expect(quiet.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)
    answer = quiet.locator(".turn").last
    expect(answer.locator(".turn-text")).to_have_text("Hello there.")
    expect(answer.locator(".turn-text strong")).to_have_text("there")
    expect(answer.locator(".turn-text")).not_to_contain_text("greet")
    answer.locator("summary").click()
    expect(answer.locator(".turn-thought p")).to_have_text("They greet me. ")

    record = record_of(stack, quiet)
    charge = quiet.locator("[data-charge]").get_attribute("data-charge")
    assert charge == str(record["charge_nanos"])
    expect(answer.locator(".turn-foot")).to_contain_text(re.compile(r"first token \d+ m?s"))
    expect(answer.locator(".turn-foot")).to_contain_text(f"{record['input_tokens']} input")
    quiet.get_by_role("link", name="Receipt").click()
    expect(quiet.get_by_text("Recomputed, agrees")).to_be_visible()


def test_the_conversation_and_the_settings_go_along_with_the_next_message(
    quiet: Page, base_url: str, scripted: ScriptedUpstream
) -> None:
    open_playground(quiet, base_url)
    quiet.get_by_label("System prompt").fill("Be brief.")
    quiet.get_by_label("Temperature").fill("0.3")
    quiet.get_by_label("Max tokens").fill("50")
    quiet.get_by_label("Stop sequences").fill("END\nSTOP")
    ask(quiet, "One")
    expect(quiet.locator("[data-charge]")).to_have_count(1, timeout=ANSWER_MS)
    ask(quiet, "Two")
    expect(quiet.locator("[data-charge]")).to_have_count(2, timeout=ANSWER_MS)
    sent = scripted.last().body
    assert [(one["role"], one["content"]) for one in sent["messages"]] == [
        ("system", "Be brief."), ("user", "One"), ("assistant", "You said: One"), ("user", "Two"),
    ]  # fmt: skip
    assert (sent["temperature"], sent["max_tokens"], sent["stop"]) == (0.3, 50, ["END", "STOP"])
    quiet.get_by_role("button", name="View code").click()
    code = quiet.locator("dialog .code code")
    expect(code.first).to_contain_text('"temperature": 0.3')
    expect(code.first).to_contain_text("$TTONK_API_KEY")
    quiet.locator("dialog .tabs-bar label", has_text="Python").click()
    expect(code.nth(1)).to_contain_text("temperature=0.3,")
    quiet.get_by_role("button", name="Close").click()
    quiet.get_by_role("button", name="Clear").click()
    expect(quiet.locator(".turn")).to_have_count(0)


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stopping_closes_the_upstream_and_charges_what_had_arrived(
    page: Page, base_url: str, stack: Stack, scripted: ScriptedUpstream, how: str
) -> None:
    open_playground(page, base_url)
    ask(page, Script(chunks=300, gap_ms=50))
    expect(page.locator(".turn").last.locator(".turn-text")).to_contain_text("w5")
    if how == "button":
        page.get_by_role("button", name="Stop", exact=True).click()
    else:
        page.keyboard.press("Escape")
    scripted.wait_for(lambda received: received.disconnected_at is not None)
    expect(page.locator(".turn .note").last).to_contain_text("Stopped. You pay for the prompt")
    expect(page.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)
    record = record_of(stack, page)
    assert (record["billing_reason"], record["status"]) == ("client_gone", 499)
    assert 0 < record["output_tokens"] < 300 * 2
    assert record["charge_nanos"] == (
        record["input_tokens"] * INPUT + record["output_tokens"] * OUTPUT
    )
    charge = page.locator("[data-charge]").get_attribute("data-charge")
    assert charge == str(record["charge_nanos"])
    page.goto(f"{base_url}/requests")
    expect(page.locator("tbody tr").first).to_contain_text("qwen-plus")
    expect(page.locator("tbody tr").first).to_contain_text("499")


def test_what_a_model_says_is_never_markup(quiet: Page, base_url: str) -> None:
    open_playground(quiet, base_url)
    said = "<img src=x onerror=alert(1)>\n\n```html\n<script>alert(2)</script>\n```\n\n`<b>`"
    ask(quiet, Script(text=said, chunks=7))
    expect(quiet.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)
    text = quiet.locator(".turn").last.locator(".turn-text")
    expect(text).to_contain_text("<img src=x onerror=alert(1)>")
    expect(text.locator("figure code")).to_have_text("<script>alert(2)</script>")
    expect(text.locator("img, script, b")).to_have_count(0)


def test_the_key_is_kept_in_no_storage(quiet: Page, base_url: str) -> None:
    open_playground(quiet, base_url)
    ask(quiet, "Hello")
    expect(quiet.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)
    stored = quiet.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert "ttonk_sk" not in stored
    assert "ttonk_sk" not in quiet.content()


def test_a_model_that_has_gone_meanwhile_is_said_to_be_gone(
    page: Page, base_url: str, stack: Stack
) -> None:
    open_playground(page, base_url, "qwen-max")
    change = "UPDATE providers_model SET is_enabled = %s WHERE name = 'qwen-max'"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(change, [False])
        try:
            page.wait_for_timeout(1_000)  # gateways hear of it by a notice
            ask(page, "Hello")
            expect(page.locator(".turn .note").last).to_contain_text(
                "This model is no longer served."
            )
            expect(page.get_by_role("link", name="See models")).to_be_visible()
        finally:
            connection.execute(change, [True])


def test_a_rate_limit_says_when_to_try_again(page: Page, base_url: str) -> None:
    key = sign_up(page, base_url)
    page.goto(f"{base_url}/playground?model=qwen-plus")
    with pytest.raises(urllib.error.HTTPError, match="429"):
        for _ in range(STARTER_REQUESTS * 3):  # the bucket fills again all the time
            call(base_url, key)
    ask(page, "Hello")
    note = page.locator(".turn .note")
    expect(note).to_contain_text(re.compile(r"rate limit\. Try again in \d+ s"))
    expect(note.get_by_role("link", name="See plans")).to_be_visible()
    page.wait_for_timeout(2_000)
    note.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)


def test_an_empty_balance_says_so_and_leads_to_billing(
    page: Page, base_url: str, stack: Stack
) -> None:
    sign_up(page, base_url)
    email = page.locator(".account-name").text_content() or ""
    poor = f"Poor {secrets.token_hex(3)}"
    stack.manage("create_organization", poor, "--owner", email, "--credit", "0")
    page.reload()
    page.locator(".rail-top summary").click()
    page.get_by_role("button", name=poor).click()
    page.goto(f"{base_url}/playground?model=qwen-plus")
    ask(page, "Hello")
    expect(page.locator(".turn .note").last).to_contain_text(
        "Your balance does not cover this request."
    )
    page.get_by_role("link", name="Go to Billing").click()
    expect(page).to_have_url(f"{base_url}/billing")


def test_a_failing_provider_is_named_as_the_cause_and_charges_nothing(
    page: Page, base_url: str
) -> None:
    open_playground(page, base_url)
    ask(page, Script(status=500, body={"error": {"message": "boom"}}))
    expect(page.locator(".turn .note").last).to_contain_text("The model's provider failed.")
    ask(page, Script(chunks=6, ending="reset", cut_after=3))
    expect(page.locator(".turn .note").last).to_contain_text("The connection broke before the end.")
    expect(page.locator("[data-charge]")).to_be_visible(timeout=ANSWER_MS)


def test_without_javascript_the_same_call_is_shown_as_code(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_up(page, base_url)
    page.goto(f"{base_url}/playground")
    expect(page.get_by_text("The playground needs JavaScript.")).to_be_visible()
    expect(page.locator(".code pre").first).to_be_visible()
    expect(page.locator("[data-playground]")).to_be_hidden()
    context.close()
