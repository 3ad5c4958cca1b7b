"""Automatic top-up in the running product: many requests take the balance below the threshold, many
workers see it, and the card is charged once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import stripe_server
from tests.journeys.books import until
from tests.journeys.callers import price
from tests.journeys.laboratory import Laboratory
from tests.journeys.members import Member
from tests.scripts import PROMPT_TOKENS, Script
from tests.stack import PROJECT

CENT = 10_000_000
CREDIT_CENTS, THRESHOLD_CENTS, AMOUNT_CENTS, CAP_CENTS = 600, 500, 1_000, 1_900
OUTPUT_TOKENS = 4_000
REQUESTS = 60
_RUN = """
import django
django.setup()
from billing.payments import automatic_runs
for _ in range(6):
    automatic_runs.run()
"""


@pytest.fixture
def stripe(lab: Laboratory) -> Iterator[str]:
    with stripe_server.running(lab.stripe_url) as url:
        stripe_server.call_back(url, lab.stack.base_url)
        yield url


def test_a_dip_under_parallel_load_charges_the_card_once(lab: Laboratory, stripe: str) -> None:
    name = "Automatic Ltd"
    member = lab.sign_up("autumn@example.com", name)
    organization = lab.books.organization(name)
    welcome = lab.books.available(organization)
    lab.stack.manage("set_plan", name, lab.lay_unlimited_plan())
    lab.stack.manage("top_up", name, f"{CREDIT_CENTS / 100:.2f}", "--reason", "paid by hand")
    customer = save_a_card_and_switch_on(lab, member, organization, stripe)

    # Three other workers look all the time, while requests in parallel spend below the threshold.
    lab.stack.start_worker()
    workers = [run_alone(lab) for _ in range(3)]
    caller = lab.caller(member.first_key)
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": OUTPUT_TOKENS}

    def ask(_: int) -> int:
        script = Script(chunks=1, usage=usage)
        return caller.ask(script, "qwen-max", max_tokens=OUTPUT_TOKENS).status_code

    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(ask, range(REQUESTS))) == {200}
    workers += [run_alone(lab) for _ in range(4)]
    assert [one.wait(120) for one in workers] == [0] * len(workers)
    lab.wait_settled(seconds=30)
    spent = REQUESTS * price("qwen-max", PROMPT_TOKENS, OUTPUT_TOKENS)
    expected = welcome + (CREDIT_CENTS + AMOUNT_CENTS) * CENT - spent
    until(lambda: lab.books.available(organization) == expected, "it is credited", seconds=40)
    charged = stripe_server.payments(stripe, customer)
    assert [(one["status"], one["amount"]) for one in charged] == [("succeeded", AMOUNT_CENTS)]
    the_months_limit_holds(lab, name, organization, stripe, customer)
    lab.prove()


def save_a_card_and_switch_on(
    lab: Laboratory, member: Member, organization: int, stripe: str
) -> str:
    """The card as the payer's browser saves it, the rest on the page. The customer at Stripe."""
    page = member.pages.get("/billing/payment")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token, page.text
    asked = member.pages.post("/billing/payment/cards/new", data={"csrfmiddlewaretoken": token[1]})
    assert asked.status_code == 200, asked.text
    (row,) = lab.books.rows(
        "SELECT provider_id FROM billing_paymentcustomer WHERE organization_id = %(id)s",
        id=organization,
    )
    customer = str(row["provider_id"])
    method = stripe_server.save_card(stripe, customer)
    answer = member.submit(
        "/billing/payment", threshold_nanos=f"{THRESHOLD_CENTS / 100}",
        amount_minor=f"{AMOUNT_CENTS / 100}", cap_minor=f"{CAP_CENTS / 100}", method_id=method,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return customer


def the_months_limit_holds(
    lab: Laboratory, name: str, organization: int, stripe: str, customer: str
) -> None:
    """Another dip: a second charge would be more than the month's limit, and is not made."""
    available = lab.books.available(organization)
    lab.stack.manage("set_plan", name, "pro")
    lab.books.change(
        "UPDATE billing_autotopup SET threshold_nanos = %(more)s WHERE organization_id = %(id)s",
        more=available + 1, id=organization,
    )  # fmt: skip
    assert run_alone(lab).wait(120) == 0
    assert len(stripe_server.payments(stripe, customer)) == 1
    assert lab.books.available(organization) == available


def run_alone(lab: Laboratory) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _RUN], env=lab.stack.environment, cwd=PROJECT)
