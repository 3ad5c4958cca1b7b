"""A customer at the billing pages: a code, a bank transfer, a card, and what holds all of it."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, Route, expect

from tests import stripe_server
from tests.browser.test_first_request import sign_up
from tests.stack import Stack

CREDITED_MS = 30_000  # a worker that starts first, and looks every three seconds
# What a page needs of Stripe's own script, which tests never load.
STRIPE_JS = """
window.Stripe = (key) => {
  const leave = async ({ confirmParams }) => {
    location.href = confirmParams.return_url + "?redirect_status=succeeded";
    return {};
  };
  return {
    elements: ({ clientSecret }) => ({
      create: () => {
        const told = {};
        return {
          on: (name, call) => (told[name] = call),
          mount: (place) => {
            place.textContent = `${key} ${clientSecret}`;
            told.ready();
          },
        };
      },
    }),
    confirmPayment: leave,
    confirmSetup: leave,
  };
};
"""


@pytest.fixture
def stripe_url(stack: Stack) -> Iterator[str]:
    with stripe_server.running(stack.environment["STRIPE_API_BASE"]) as url:
        yield url


@pytest.fixture
def payer(quiet: Page, base_url: str, stack: Stack, stripe_url: str) -> Page:
    """Somebody who has just signed up, at the billing page; Stripe's script is ours."""

    def serve(route: Route) -> None:
        route.fulfill(body=STRIPE_JS, content_type="text/javascript")

    stack.start_worker()
    quiet.route("https://js.stripe.com/**", serve)
    sign_up(quiet, base_url)
    quiet.get_by_role("link", name="Billing", exact=True).click()
    return quiet


def balance(page: Page) -> str:
    return (page.locator(".stats .stat").first.text_content() or "").strip()


def ask(stack: Stack, statement: str, *parameters: Any) -> Any:
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row[0]


def choose(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Billing").get_by_role("link", name=name).click()


def test_a_code_and_a_bank_transfer_reach_the_balance(payer: Page, stack: Stack) -> None:
    assert balance(payer) == "$1.00"
    made = stack.manage("create_codes", "7", "1", "--batch", "launch")
    payer.get_by_role("link", name="Redeem a code").click()
    payer.get_by_label("Code").fill(made["codes"][0].lower())
    payer.get_by_role("button", name="Redeem").click()
    expect(payer.get_by_text("$7.00 is on your balance.")).to_be_visible()
    assert balance(payer) == "$8.00"

    payer.get_by_role("link", name="Top up").first.click()
    payer.get_by_role("button", name="$100").click()
    payer.get_by_label("Bank transfer").check()
    payer.get_by_role("button", name="Continue").click()
    expect(payer.get_by_text("IBAN XX00")).to_be_visible()
    reference = (payer.locator(".pay-reference code").text_content() or "").strip()
    stack.manage("confirm_payment", reference, "100", "--statement", f"entry of {reference}")
    payer.reload()
    expect(payer.get_by_role("heading", name="$100.00 is on your balance")).to_be_visible()

    choose(payer, "History")
    expect(payer.locator("tbody tr").first).to_contain_text(f"Bank transfer {reference}")
    expect(payer.locator("tbody tr").first).to_contain_text("+$100.00")
    with payer.expect_download() as download:
        payer.get_by_role("link", name="Download CSV").click()
    assert reference in download.value.path().read_text()

    choose(payer, "Plan")
    payer.get_by_role("link", name="Change to Pro").click()
    payer.get_by_role("button", name="Change to Pro").click()
    expect(payer.get_by_text("You are on the Pro plan.")).to_be_visible()
    choose(payer, "Balance")
    # $20 a month, of which the days that are left are paid.
    assert 88 <= float(balance(payer).removeprefix("$")) < 108


def test_a_card_pays_is_saved_and_tops_up_by_itself(
    payer: Page, stack: Stack, stripe_url: str, base_url: str
) -> None:
    choose(payer, "Top up")
    payer.get_by_label("Amount").fill("25")
    payer.get_by_role("button", name="Continue").click()
    expect(payer.locator("[data-pay-element]")).to_contain_text("pk_test_local pi_")
    reference = re.findall(r"TT-\w{4}-\w{4}", payer.url)[0]
    payer.get_by_role("button", name="Pay $25.00").click()
    expect(payer.get_by_text("The payment is being confirmed")).to_be_visible()
    payment_id = ask(
        stack, "SELECT provider_id FROM billing_paymentorder WHERE reference = %s", reference
    )
    paid = {"id": payment_id, "amount": 2_500, "amount_received": 2_500, "currency": "usd",
            "metadata": {"ttonk_order": reference}}  # fmt: skip
    told = stripe_server.event("payment_intent.succeeded", paid)
    assert [stripe_server.send_webhook(base_url, told) for _ in range(2)] == [204, 204]
    # The page looks again by itself.
    credited = payer.get_by_role("heading", name="$25.00 is on your balance")
    expect(credited).to_be_visible(timeout=CREDITED_MS)

    choose(payer, "Cards")
    expect(payer.get_by_text("No card is saved")).to_be_visible()
    payer.get_by_role("button", name="Add a card").click()
    expect(payer.locator("[data-pay-element]")).to_contain_text("pk_test_local seti_")
    stripe_customer = ask(
        stack,
        "SELECT c.provider_id FROM billing_paymentcustomer c JOIN billing_paymentorder o"
        " USING (organization_id) WHERE o.reference = %s",
        reference,
    )
    stripe_server.save_card(stripe_url, stripe_customer)
    payer.get_by_role("button", name="Save card").click()
    expect(payer.get_by_role("cell", name="Visa …4242", exact=True)).to_be_visible()

    payer.get_by_label("When the balance falls below").fill("50")
    payer.get_by_label("Charge").fill("40")
    payer.get_by_role("button", name="Switch on").click()
    expect(payer.get_by_text("Automatic top-up is on.")).to_be_visible()
    choose(payer, "Balance")
    expect(async_balance(payer)).to_have_text("$66.00", timeout=CREDITED_MS)

    payer.get_by_role("link", name="Change or switch off").click()
    payer.get_by_role("button", name="Switch off").click()
    expect(payer.get_by_text("Automatic top-up is off.")).to_be_visible()
    payer.get_by_role("button", name="Remove Visa …4242").click()
    expect(payer.get_by_text("No card is saved")).to_be_visible()


def async_balance(page: Page) -> Any:
    """The balance, on a page that is loaded again until a worker has charged the card."""
    for _ in range(CREDITED_MS // 1_000):
        if balance(page) != "$26.00":
            break
        page.wait_for_timeout(1_000)
        page.reload()
    return page.locator(".stats .stat").first


def test_alerts_and_details_are_kept(payer: Page) -> None:
    choose(payer, "Limits")
    payer.get_by_label("Mail us when").fill("50")
    payer.get_by_role("button", name="Add alert").click()
    expect(payer.get_by_role("cell", name="$50.00", exact=True)).to_be_visible()
    payer.get_by_role("button", name="Remove the alert at $50.00").click()
    expect(payer.get_by_role("cell", name="$50.00", exact=True)).to_have_count(0)

    choose(payer, "Details")
    payer.get_by_label("Company").fill("Acme GmbH")
    payer.get_by_label("Country").select_option("DE")
    payer.get_by_label("VAT or tax number").fill("123 456 789")
    payer.get_by_role("button", name="Save").click()
    expect(payer.get_by_text("Saved.")).to_be_visible()
    expect(payer.get_by_label("VAT or tax number")).to_have_value("DE123456789")
