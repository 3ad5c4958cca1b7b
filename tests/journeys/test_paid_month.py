"""Money from a card to a paid invoice, through the running product and a server that speaks
Stripe's API; and the ends that a customer's data can come to."""

from __future__ import annotations

import csv
import io
import json
import re
import urllib.error
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from xml.etree import ElementTree as ET

import httpx
import pytest
from pypdf import PdfReader

from tests import en16931, stripe_server
from tests.journeys.books import until
from tests.journeys.callers import Caller, price, request_id
from tests.journeys.laboratory import WELCOME_NANOS, Laboratory
from tests.journeys.members import Member
from tests.scripts import PROMPT_TOKENS, Script

NAME = "Quill & Daughters"
CENTS = 2_500
TOP_UP = CENTS * 10_000_000
REQUESTS = 9


@pytest.fixture
def stripe(lab: Laboratory) -> Iterator[str]:
    """Stripe is there, and tells the gateway of what happens."""
    with stripe_server.running(lab.stripe_url) as url:
        stripe_server.call_back(url, lab.stack.base_url)
        yield url


@pytest.fixture
def seller(lab: Laboratory) -> None:
    """Who issues the invoices, and the tax of German customers."""
    lab.books.change(
        "INSERT INTO billing_issuer (code, name, line_1, postal_code, city, country, vat_id, email,"
        " customer_countries) VALUES ('TTK', 'Seller GmbH', 'Gasse 1', '10115', 'Berlin', 'DE',"
        " 'DE111111111', '', 'DE') ON CONFLICT DO NOTHING"
    )
    lab.books.change(
        "INSERT INTO billing_taxrule (issuer_id, country, rate_ppm, is_reverse_charged)"
        " SELECT id, 'DE', 190000, false FROM billing_issuer WHERE code = 'TTK'"
        " ON CONFLICT DO NOTHING"
    )


def test_from_a_card_to_a_paid_invoice_that_recomputes(
    lab: Laboratory, stripe: str, seller: None
) -> None:
    lab.stack.start_worker()
    member = lab.sign_up("paula@example.com", NAME)
    organization = lab.books.organization(NAME)
    member.submit(
        "/billing/details", company="Quill & Töchter GmbH", line_1="Am Dom 1", city="Köln",
        postal_code="50667", country="DE",
    )  # fmt: skip
    payment, told = top_up(lab, member, organization, stripe)
    told_by_many_at_once(lab, organization, payment, told)
    spent = spend(lab, member, organization)
    invoice = close(lab, organization, spent)
    files_agree(lab, member, invoice, spent)
    lab.prove()
    the_data_is_erased(lab, member, organization, invoice)


def top_up(
    lab: Laboratory, member: Member, organization: int, stripe: str
) -> tuple[str, dict[str, object]]:
    """On the page, with a card; the money is there when Stripe has told of it. The payment's id,
    and the event as Stripe builds it."""
    page = member.submit("/billing/top-up", amount="25", provider="stripe")
    reference = page.url.path.rpartition("/")[2]
    secret = re.search(r'data-secret="([^"]+)"', page.text)
    assert secret, page.text
    payment = secret[1].partition("_secret")[0]
    assert lab.books.available(organization) == WELCOME_NANOS
    stripe_server.pay(stripe, payment)
    until(
        lambda: lab.books.available(organization) == WELCOME_NANOS + TOP_UP,
        "the payment is credited", seconds=40,
    )  # fmt: skip
    assert "$25.00 is on your balance" in member.pages.get(f"/billing/top-up/{reference}").text
    (order,) = orders(lab, organization)
    assert (order["reference"], order["provider_id"]) == (reference, payment)
    thing = {"id": payment, "amount": CENTS, "amount_received": CENTS, "currency": "usd",
             "status": "succeeded", "metadata": {"ttonk_order": reference}}  # fmt: skip
    return payment, stripe_server.event("payment_intent.succeeded", thing)


def orders(lab: Laboratory, organization: int) -> list[dict[str, object]]:
    return lab.books.rows(
        "SELECT * FROM billing_paymentorder WHERE organization_id = %(id)s ORDER BY id",
        id=organization,
    )


def told_by_many_at_once(
    lab: Laboratory, organization: int, payment: str, told: dict[str, object]
) -> None:
    """The running gateway is told again and again by many at once, under one id and under others,
    also by somebody who does not know the secret, while the worker acts on all of it."""

    def send(n: int) -> int:
        event = told | {"id": f"evt_{payment}_{n % 4}"}
        body = json.dumps(event).encode()
        secret = ("whsec_of_somebody_else", "", stripe_server.SECRET)[min(n % 8, 2)]
        header = stripe_server.signature(body, secret, age_seconds=301 if n % 8 == 2 else 0)
        answer = httpx.post(
            f"{lab.stack.base_url}/webhooks/stripe", content=body, timeout=30, trust_env=False,
            headers={"Stripe-Signature": header, "Content-Type": "application/json"},
        )  # fmt: skip
        return answer.status_code

    with ThreadPoolExecutor(16) as threads:
        answers = Counter(threads.map(send, range(48)))
    assert answers == {204: 30, 400: 18}
    until(
        lambda: not lab.books.rows(
            "SELECT 1 FROM billing_paymentevent WHERE state = 'waiting' AND event_id LIKE %(p)s",
            p=f"evt_{payment}%",
        ),
        "the events are acted on", seconds=40,
    )  # fmt: skip
    assert lab.books.available(organization) == WELCOME_NANOS + TOP_UP
    credited = lab.books.rows(
        "SELECT t.id FROM billing_transfer t JOIN billing_account a ON a.id = t.credit_account_id"
        " WHERE a.organization_id = %(id)s AND t.kind = 'top_up'",
        id=organization,
    )
    assert len(credited) == 1


def spend(lab: Laboratory, member: Member, organization: int) -> int:
    """Real requests, whole and streamed; the nanos they cost by the price list."""
    caller = lab.caller(member.first_key)
    spent = 0
    for n in range(REQUESTS):
        tokens = 40 + n
        if n % 3:
            answer = caller.ask(Script(chunks=tokens), "qwen-max", max_tokens=100)
            assert answer.status_code == 200, answer.text
            charged = lab.books.charged(request_id(answer))
            cost = price("qwen-max", PROMPT_TOKENS, tokens)
        else:
            with caller.stream(Script(chunks=tokens), "qwen-plus", max_tokens=100) as stream:
                assert stream.read().is_done
            charged = lab.books.charged(stream.request_id)
            cost = price("qwen-plus", PROMPT_TOKENS, tokens)
        assert charged == cost
        spent += cost
    assert lab.books.available(organization) == WELCOME_NANOS + TOP_UP - spent
    return spent


def close(lab: Laboratory, organization: int, spent: int) -> str:
    lab.wait_settled(seconds=20)
    month = datetime.now(UTC).strftime("%Y-%m")
    closed = lab.stack.manage("close_month", month, "--allow-current", "--organization", NAME)
    (invoice,) = closed["invoices"]
    assert invoice["total_nanos"] == spent
    assert lab.stack.manage("verify_invoice", invoice["invoice"])["ok"]
    again = lab.stack.manage("close_month", month, "--allow-current", "--organization", NAME)
    assert again["invoices"] == []
    assert lab.books.available(organization) == WELCOME_NANOS + TOP_UP - spent
    return str(invoice["invoice"])


def files_agree(lab: Laboratory, member: Member, invoice: str, spent: int) -> None:
    """Page, PDF, CSV and e-invoice say the same, and the norm's rules hold."""
    minor = (spent + 5_000_000) // 10_000_000
    tax = round(Decimal(minor) * 19 / 119)
    path = f"/billing/invoices/{invoice}"
    assert "paid from the balance" in member.pages.get(path).text
    pdf = member.pages.get(f"{path}.pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    pages = PdfReader(io.BytesIO(pdf.content)).pages
    words = "\n".join(one.extract_text() for one in pages).replace("\0", "")
    for part in (invoice, "Quill & Töchter GmbH", "Seller GmbH", "qwen-max", "qwen-plus",
                 dollars(minor), dollars(tax), dollars(minor - tax), "Nothing is due"):  # fmt: skip
        assert part in words, part
    rows = list(csv.DictReader(io.StringIO(member.pages.get(f"{path}.csv").text)))
    assert sum(Decimal(row["amount_usd"]) for row in rows) * 10**9 == spent
    assert sum(int(row["requests"]) for row in rows) == REQUESTS
    xml = member.pages.get(f"{path}.xml").content
    assert en16931.broken(xml) == []
    root = ET.fromstring(xml)
    total = root.findtext("cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount", "", en16931.SPACES)
    due = root.findtext("cac:LegalMonetaryTotal/cbc:PayableAmount", "", en16931.SPACES)
    assert Decimal(total) * 100 == minor
    assert Decimal(due) == 0


def dollars(minor: int) -> str:
    return f"${minor // 100:,}.{minor % 100:02d}"


def the_data_is_erased(lab: Laboratory, member: Member, organization: int, invoice: str) -> None:
    """Keys stop at once, at the running gateway; the books prove, and so does the invoice."""
    caller: Caller = lab.caller(member.first_key)
    assert caller.ask(Script(chunks=1)).status_code == 200
    lab.wait_settled(seconds=20)
    told = lab.stack.manage("erase_user", "paula@example.com", "--yes")
    assert told["organizations_erased"] == [organization]
    until(lambda: caller.ask(Script(chunks=1)).status_code == 401, "the key is refused", seconds=5)
    (row,) = lab.books.rows(
        "SELECT name FROM accounts_organization WHERE id = %(id)s", id=organization
    )
    assert row["name"] == f"Erased organization {organization}"
    assert lab.stack.manage("verify_invoice", invoice)["ok"]
    assert lab.stack.manage("verify_audit")["ok"]
    lab.prove()


def test_a_running_product_refuses_a_webhook_from_nobody(lab: Laboratory) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{lab.stack.base_url}/webhooks/stripe", b"{}", timeout=10)
    assert refused.value.code == 400
