"""E-invoices against the norm's rules, and the figures of all files of one document by hand."""

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from xml.etree import ElementTree as ET

import pytest
import time_machine
from django.test import Client
from pypdf import PdfReader

from billing import (
    invoice_document,
    invoice_issue,
    invoice_pdf,
    invoice_xml,
    invoices,
    subscriptions,
    taxes,
)
from billing.invoice_document import Document, DocumentLine
from billing.models import (
    BillingDetails,
    CreditNote,
    Invoice,
    Issuer,
    Plan,
    TaxKind,
    TaxRule,
)
from providers.usage import TokenUsage
from tests import en16931
from tests.billing import scenes

pytestmark = pytest.mark.django_db

USD = scenes.USD
NOVEMBER = date(2026, 11, 1)
BUYERS = {
    "standard": {"company": "Kunde GmbH", "country": "DE", "city": "Köln", "line_1": "Am Dom 1"},
    "reverse": {"company": "Client SARL", "country": "FR", "vat_id": "fr 12.345-678901"},
    "none": {"company": "Customer Inc", "country": "US", "region": "CA", "line_2": "Floor 3"},
}


@pytest.fixture
def issuer() -> Issuer:
    made = Issuer.default()
    Issuer.objects.update(
        name="Seller GmbH", line_1="Gasse 1", city="Berlin", postal_code="10115", country="DE",
        vat_id="DE 111 111 111",
    )  # fmt: skip
    TaxRule.objects.create(issuer=made, country="DE", rate_ppm=190_000)
    TaxRule.objects.create(issuer=made, country="FR", rate_ppm=200_000, is_reverse_charged=True)
    return made


def invoiced(details: dict[str, str], **changes: object) -> Invoice:
    """November: a plan with included credit from its eighth day on, and usage of two models."""
    organization = scenes.make_organization("Acme", credit_nanos=500 * USD)
    if details:
        BillingDetails.objects.create(organization=organization, **details)
    Plan.objects.filter(slug="pro").update(included_credit_nanos=5 * USD, **changes)
    with time_machine.travel(datetime(2026, 11, 8, 8, tzinfo=UTC), tick=False):
        subscriptions.change_plan(organization, Plan.objects.get(slug="pro"))
    for model in ("qwen-plus", "qwen-max"):
        record = scenes.use(organization, model=model, held_nanos=30 * USD,
                            usage=TokenUsage(input=987_654, output=123_457))  # fmt: skip
        scenes.charge_at(record, datetime(2026, 11, 15, tzinfo=UTC))
    with time_machine.travel(datetime(2026, 12, 1, 2, tzinfo=UTC), tick=False):
        [invoice] = invoices.close_month(NOVEMBER, organization).invoices
    return invoice


def xml_of(document: Document) -> bytes:
    assert invoice_xml.is_possible(document)
    return invoice_xml.write(document)


@pytest.mark.parametrize("kind", BUYERS)
def test_an_invoice_and_its_credit_notes_keep_the_norms_rules(issuer, kind) -> None:
    invoice = invoiced(BUYERS[kind])
    assert invoice.tax_kind == kind
    assert en16931.broken(xml_of(invoice_document.of_invoice(invoice))) == []
    for cents in (1, 7, invoice.total_minor - 8):
        note = invoice_issue.give_back(invoice, cents, "Charged & given <back>")
        assert en16931.broken(xml_of(invoice_document.of_credit_note(note))) == []


def test_the_rules_find_what_is_wrong(issuer) -> None:
    """So that the tests above say something: a file that is edited breaks the rule about it."""
    good = xml_of(invoice_document.of_invoice(invoiced(BUYERS["standard"]))).decode()
    for pattern, instead, rule in (
        (r"<cbc:ID>INV-000001</cbc:ID>", "", "BR-02"),
        (r"(<cbc:TaxExclusiveAmount[^>]*>)\d+", r"\g<1>9", "BR-CO-13"),
        (r"(<cbc:PrepaidAmount[^>]*>)\d+", r"\g<1>9", "BR-CO-16"),
        (r"(<cbc:LineExtensionAmount[^>]*>)\d+", r"\g<1>9", "BR-CO-10"),
        (r"<cac:Country>.*?</cac:Country>", "", "BR-09"),
        (r"<cac:PartyTaxScheme>.*?</cac:PartyTaxScheme>", "", "BR-S-02"),
        (r"<cbc:Percent>19.0000<", "<cbc:Percent>7.0000<", "BR-CO-17"),
        (r"(<cbc:PriceAmount[^>]*>)", r"\g<1>-", "BR-27"),
        (r"(<cbc:TaxAmount[^>]*>\d+\.\d\d)", r"\g<1>5", "BR-DEC"),
        (r"(<cbc:Note>.*?</cbc:Note>)\s*(<cbc:DocumentCurrencyCode>USD</cbc:DocumentCurrencyCode>)",
         r"\g<2>\g<1>", "UBL element order"),
    ):  # fmt: skip
        edited = re.sub(pattern, instead, good, flags=re.DOTALL)
        assert edited != good, rule
        assert any(one.startswith(rule) for one in en16931.broken(edited.encode())), rule


@pytest.mark.parametrize("seed", range(4))
def test_any_amounts_keep_the_rules(seed) -> None:
    random = Random(seed)
    for _ in range(60):
        rate = random.choice([0, 50_000, 77_000, 190_000, 200_000, 255_000])
        total = random.randrange(0, 10 ** random.randrange(1, 9))
        tax = taxes.included(total, rate)
        # Tax is a part of the total, half up: by hand, in fractions.
        exact = Fraction(total * rate, 1_000_000 + rate)
        assert abs(exact - tax) <= Fraction(1, 2)
        amounts = [random.randrange(1, 10**12) for _ in range(random.randrange(1, 30))]
        parts = taxes.spread(amounts, total - tax)
        assert sum(parts) == total - tax
        document = Document(
            number="INV-000007", is_credit_note=random.random() < 0.3, issued_on=NOVEMBER,
            first_day=NOVEMBER, last_day=date(2026, 11, 30),
            seller={"code": "INV", "name": "Seller", "country": "DE", "vat_id": "DE111111111"},
            buyer={"company": "Buyer", "country": "DE"},
            lines=[DocumentLine(f"Line {n}", "", minor) for n, minor in enumerate(parts)],
            total_minor=total, tax_minor=tax, tax_rate_ppm=rate,
            tax_kind=TaxKind.STANDARD if rate else TaxKind.NONE, note="Paid.",
            corrects="INV-000001",
        )  # fmt: skip
        assert en16931.broken(xml_of(document)) == [], (total, rate)


@pytest.mark.parametrize(
    ("seller", "details"),
    [
        ({"country": ""}, BUYERS["none"]),
        ({}, {}),
        ({"vat_id": ""}, BUYERS["standard"]),
        ({"vat_id": ""}, BUYERS["reverse"]),
    ],
    ids=["no seller's country", "no buyer's country", "no VAT id: taxed", "no VAT id: reverse"],
)
def test_no_e_invoice_is_offered_where_the_norms_facts_are_missing(
    issuer, client: Client, seller, details
) -> None:
    Issuer.objects.update(**seller)
    invoice = invoiced(details)
    note = invoice_issue.give_back(invoice, 1, "Sorry")
    client.force_login(invoice.organization.members.get())
    page = client.get(f"/billing/invoices/{invoice}").content.decode()
    assert ".pdf" in page and ".xml" not in page and "XML" not in page
    assert client.get(f"/billing/invoices/{invoice}.xml").status_code == 404
    assert (
        client.get(f"/billing/invoices/{invoice}/credit-notes/{note.number}.xml").status_code == 404
    )


def pdf_words(document: Document) -> str:
    pages = PdfReader(io.BytesIO(invoice_pdf.write(document))).pages
    return "\n".join(page.extract_text() for page in pages).replace("\0", "")


def dollars(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}${abs(minor) // 100:,}.{abs(minor) % 100:02d}"


@pytest.mark.parametrize("kind", BUYERS)
def test_page_pdf_csv_and_xml_say_the_same_to_the_cent(issuer, client: Client, kind) -> None:
    invoice = invoiced(BUYERS[kind])
    document = invoice_document.of_invoice(invoice)
    # By hand: 23 of 30 days of 20 USD and of 5 USD, and the two requests at their list prices.
    fee, credit = 20 * USD * 23 // 30, 5 * USD * 23 // 30
    plus = 987_654 * 400 + 123_457 * 1_200
    most = 987_654 * 1_600 + 123_457 * 6_400
    total = fee - credit + plus + most
    assert invoice.total_nanos == total
    assert invoice.total_minor == round(Fraction(total, 10_000_000))
    rate = {"standard": Fraction(19, 100)}.get(kind, Fraction())
    assert invoice.tax_minor == round(invoice.total_minor * rate / (1 + rate))

    words = pdf_words(document)
    for minor in (invoice.total_minor, invoice.net_minor, invoice.tax_minor,
                  *(line.net_minor for line in document.lines)):  # fmt: skip
        assert dollars(minor) in words
    client.force_login(invoice.organization.members.get())
    answer = client.get(f"/billing/invoices/{invoice}.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    nanos = [Decimal(row["amount_usd"]) * USD for row in rows]
    assert sorted(nanos) == sorted([fee, -credit, plus, most])
    root = ET.fromstring(client.get(f"/billing/invoices/{invoice}.xml").content)
    inclusive = root.findtext("cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount", "", en16931.SPACES)
    assert Decimal(inclusive) * 100 == invoice.total_minor
    assert invoices.verify_invoice(invoice) == []


def test_giving_an_invoice_back_in_parts_gives_exactly_its_tax_back(issuer) -> None:
    invoice = invoiced(BUYERS["standard"])
    left = invoice.total_minor
    for cents in (1, 1, 1, 2, 3, 333):
        invoice_issue.give_back(invoice, cents, "A part")
        left -= cents
    invoice_issue.give_back(invoice, left, "The rest")
    notes = CreditNote.objects.filter(invoice=invoice)
    assert sum(note.total_minor for note in notes) == invoice.total_minor
    assert sum(note.tax_minor for note in notes) == invoice.tax_minor
    assert all(0 <= note.tax_minor <= note.total_minor for note in notes)
