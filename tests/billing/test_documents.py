"""Invoices with fees, tax and numbers, credit notes, and the files of both."""

import csv
import io
import threading
from datetime import UTC, date, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader

from accounts.models import OutgoingMail
from billing import (
    invoice_document,
    invoice_issue,
    invoice_pdf,
    invoice_xml,
    invoices,
    proof,
    renewals,
    subscriptions,
)
from billing.models import (
    Account,
    BillingDetails,
    CreditNote,
    Invoice,
    Issuer,
    Plan,
    TaxRule,
    Transfer,
)
from tests.billing import scenes

pytestmark = pytest.mark.django_db

USD = scenes.USD
NOVEMBER = date(2026, 11, 1)
COMPANY = "杭州云端科技有限公司"
SPACES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}


def _customer(name: str = "Acme", **details: str):
    organization = scenes.make_organization(name, credit_nanos=50 * USD)
    if details:
        BillingDetails.objects.create(organization=organization, **details)
    return organization


def _germany() -> Issuer:
    issuer = Issuer.default()
    Issuer.objects.update(
        name="Seller GmbH", line_1="Gasse 1", city="Berlin", country="DE", vat_id="DE111111111"
    )
    TaxRule.objects.create(issuer=issuer, country="DE", rate_ppm=190_000)
    TaxRule.objects.create(issuer=issuer, country="FR", rate_ppm=200_000, is_reverse_charged=True)
    return issuer


def _invoice(organization, **changes: object) -> Invoice:
    """November's, with a plan, its included credit, and a little usage."""
    Plan.objects.filter(slug="pro").update(included_credit_nanos=5 * USD)
    with time_machine.travel(datetime(2026, 11, 1, 8, tzinfo=UTC), tick=False):
        subscriptions.change_plan(organization, Plan.objects.get(slug="pro"))
    record = scenes.use(organization, **changes)
    scenes.charge_at(record, datetime(2026, 11, 15, tzinfo=UTC))
    with time_machine.travel(datetime(2026, 12, 1, 2, tzinfo=UTC), tick=False):
        [invoice] = invoices.close_month(NOVEMBER, organization).invoices
    return invoice


def test_an_invoice_has_the_fee_the_credit_and_the_usage_and_is_verified() -> None:
    invoice = _invoice(_customer())
    lines = {line.kind: line for line in invoice.lines.all()}
    assert lines["fee"].amount_nanos == 20 * USD
    assert lines["credit"].amount_nanos == -5 * USD
    assert lines["fee"].transfer_id == Transfer.objects.get(kind="plan_fee").pk
    assert (lines["fee"].first_day, lines["fee"].last_day) == (NOVEMBER, date(2026, 11, 30))
    assert invoice.total_nanos == 15 * USD + scenes.PLUS_CHARGE_NANOS
    assert invoice.total_minor == 1_500
    assert invoices.verify_invoice(invoice) == []
    assert OutgoingMail.objects.filter(subject__contains=f"Invoice {invoice}").count() == 1


def test_a_month_with_a_fee_and_no_usage_is_invoiced_by_the_task() -> None:
    organization = _customer()
    with time_machine.travel(datetime(2026, 11, 16, tzinfo=UTC), tick=False):
        subscriptions.change_plan(organization, Plan.objects.get(slug="pro"))
    with time_machine.travel(datetime(2026, 12, 1, 2, tzinfo=UTC), tick=False):
        renewals.run()
        assert invoices.close_due_months() == 1
        assert invoices.close_due_months() == 0
    assert Invoice.objects.get().total_nanos == 10 * USD


def test_the_database_refuses_to_edit_what_is_finalised() -> None:
    invoice = _invoice(_customer())
    note = invoice_issue.give_back(invoice, 100, "A mistake")
    finalised: tuple[Any, ...] = (
        Invoice.objects.filter(pk=invoice.pk),
        invoice.lines.all(),
        CreditNote.objects.filter(pk=note.pk),
        invoice.organization.plan_charges.all(),
    )
    for rows in finalised:
        with pytest.raises(IntegrityError, match="never edited"), transaction.atomic():
            rows.update(id=rows[0].pk)
        with pytest.raises(IntegrityError, match="never edited"), transaction.atomic():
            rows._raw_delete(rows.db)


@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("billing_invoiceline", "amount_nanos = 1 WHERE kind = 'fee'", "fee"),
        ("billing_invoiceline", "amount_nanos = -1 WHERE kind = 'credit'", "credit"),
        ("billing_invoiceline", "output_tokens = 1 WHERE kind = 'usage'", "line qwen-plus"),
        ("billing_invoice", "tax_minor = 5", "cents"),
        ("billing_plancharge", "amount_nanos = 1 WHERE kind = 'fee'", "fee"),
        ("billing_transfer", "amount_nanos = 1 WHERE kind = 'plan_fee'", "fee"),
    ],
)
def test_verify_invoice_detects_a_changed_row(table, change, says, capsys) -> None:
    invoice = _invoice(_customer())
    with scenes.tampering(table):
        assert scenes.execute(f"UPDATE {table} SET {change}") == 1
    with pytest.raises(SystemExit):
        call_command("verify_invoice", str(invoice))
    assert says in capsys.readouterr().out


def test_the_command_verifies_a_sound_invoice_by_its_number(capsys) -> None:
    invoice = _invoice(_customer())
    for name in (str(invoice), str(invoice.number), f"#{invoice.number:06d}"):
        call_command("verify_invoice", name)
    assert "ok: True" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no invoice"):
        call_command("verify_invoice", "INV-999")


def test_tax_is_included_and_taken_by_the_customers_country() -> None:
    _germany()
    german = _invoice(_customer("German", company="Kunde GmbH", country="DE"))
    assert (german.tax_kind, german.tax_rate_ppm, german.tax_minor) == ("standard", 190_000, 239)
    assert german.buyer["company"] == "Kunde GmbH"
    assert german.seller["vat_id"] == "DE111111111"
    assert invoices.verify_invoice(german) == []


def test_a_business_abroad_is_reverse_charged() -> None:
    _germany()
    invoice = _invoice(_customer("French", country="FR", vat_id="FR12345678901"))
    assert (invoice.tax_kind, invoice.tax_minor) == ("reverse", 0)
    document = invoice_document.of_invoice(invoice)
    assert "Reverse charge" in document.tax_words
    root = ET.fromstring(invoice_xml.write(document))
    category = root.find("cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID", SPACES)
    assert category is not None and category.text == "AE"


def test_issuers_number_on_their_own_by_the_customers_country() -> None:
    Issuer.default()
    Issuer.objects.create(code="CN", name="第二", customer_countries="CN HK")
    names = [
        str(_invoice(_customer("One"))),
        str(_invoice(_customer("Two", country="CN"))),
        str(_invoice(_customer("Three", country="FR"))),
    ]
    assert names == ["INV-000001", "CN-000001", "INV-000002"]


@pytest.mark.django_db(transaction=True)
def test_parallel_finalising_gives_every_number_once_without_a_gap() -> None:
    groups = [
        [invoice_issue.Group(_customer(f"Customer {n}-{m}").pk) for m in range(3)] for n in range(6)
    ]
    failures: list[Exception] = []

    def finalise(mine: list[invoice_issue.Group]) -> None:
        try:
            # Twice: the second makes nothing.
            for _ in range(2):
                invoice_issue.issue(NOVEMBER, timezone.now(), mine)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=finalise, args=(mine,)) for mine in [*groups, *groups]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    numbers = sorted(Invoice.objects.values_list("number", flat=True))
    assert numbers == list(range(1, 19))


def test_what_is_rolled_back_leaves_no_gap_and_a_gap_is_detected() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        invoice_issue.issue(NOVEMBER, timezone.now(), [invoice_issue.Group(_customer().pk)])
        raise RuntimeError
    invoice = _invoice(_customer("Next"))
    assert invoice.number == 1
    assert _check("documents").is_ok
    with scenes.tampering("billing_invoice"):
        scenes.execute("UPDATE billing_invoice SET number = 3")
    assert not _check("documents").is_ok


def _check(name: str) -> proof.Check:
    return next(check for check in proof.prove() if check.name == name)


def test_a_credit_note_gives_money_back_and_never_more_than_the_invoice() -> None:
    organization = _customer()
    invoice = _invoice(organization)
    before = Account.objects.get(organization=organization).available_nanos
    note = invoice_issue.give_back(invoice, 1_499, "Wrong plan")
    assert str(note) == "INV-C-000001"
    after = Account.objects.get(organization=organization).available_nanos
    assert after - before == 1_499 * 10**7
    with pytest.raises(invoice_issue.TooMuch) as refused:
        invoice_issue.give_back(invoice, 2, "Again")
    assert refused.value.left_minor == 1
    assert all(check.is_ok for check in proof.prove() if check.name != "rollups")


def test_the_command_writes_a_credit_note(capsys) -> None:
    invoice = _invoice(_customer())
    call_command("issue_credit_note", str(invoice), "1.25", reason="A mistake")
    assert "INV-C-000001" in capsys.readouterr().out
    for amount, why in (("0.001", "whole cents"), ("50", "only")):
        with pytest.raises(CommandError, match=why):
            call_command("issue_credit_note", str(invoice), amount, reason="A mistake")


def _total(root: ET.Element, path: str) -> int:
    found = root.findall(path, SPACES)
    assert found
    return sum(round(float(one.text or "") * 100) for one in found)


def test_the_xml_adds_up_and_stands_in_the_schemas_order() -> None:
    _germany()
    invoice = _invoice(_customer("German", company=COMPANY, country="DE", line_1="Weg 1"))
    root = ET.fromstring(invoice_xml.write(invoice_document.of_invoice(invoice)))
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names == [
        "CustomizationID", "ID", "IssueDate", "InvoiceTypeCode", "Note", "DocumentCurrencyCode",
        "InvoicePeriod", "AccountingSupplierParty", "AccountingCustomerParty", "TaxTotal",
        "LegalMonetaryTotal", "InvoiceLine", "InvoiceLine", "InvoiceLine",
    ]  # fmt: skip
    lines = _total(root, "cac:InvoiceLine/cbc:LineExtensionAmount")
    net = _total(root, "cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount")
    tax = _total(root, "cac:TaxTotal/cbc:TaxAmount")
    total = _total(root, "cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount")
    assert lines == net
    assert net + tax == total == invoice.total_minor
    name = root.find(
        "cac:AccountingCustomerParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName", SPACES
    )
    assert name is not None and name.text == COMPANY
    for line in root.findall("cac:InvoiceLine", SPACES):
        price = line.find("cac:Price/cbc:PriceAmount", SPACES)
        assert price is not None and not (price.text or "").startswith("-")


def _text(content: bytes) -> str:
    """The words; the reader hands on the first byte of each two-byte code as a NUL."""
    pages = PdfReader(io.BytesIO(content)).pages
    return "\n".join(page.extract_text() for page in pages).replace("\0", "")


def test_the_pdf_can_be_read_back_with_its_chinese_and_stays_small() -> None:
    invoice = _invoice(_customer("Chinese", company=COMPANY, country="CN"))
    content = invoice_pdf.write(invoice_document.of_invoice(invoice))
    words = _text(content)
    for part in (str(invoice), COMPANY, "China", "qwen-plus", "$15.00"):
        assert part in words
    assert len(content) < 200_000


def test_a_credit_notes_pdf_names_the_invoice_it_corrects() -> None:
    invoice = _invoice(_customer())
    note = invoice_issue.give_back(invoice, 100, "Wrong plan – sorry")
    words = _text(invoice_pdf.write(invoice_document.of_credit_note(note)))
    for part in (str(note), str(invoice), "Wrong plan - sorry", "$1.00"):
        assert part in words


def test_the_page_offers_the_files_and_they_are_the_invoices(client: Client) -> None:
    _germany()
    organization = _customer(country="DE")
    invoice = _invoice(organization)
    client.force_login(organization.members.get())
    page = client.get(f"/billing/invoices/{invoice}").content.decode()
    for kind in ("pdf", "csv", "xml"):
        assert f"/billing/invoices/{invoice}.{kind}" in page
    assert client.get(f"/billing/invoices/{invoice}.pdf").content.startswith(b"%PDF-")
    answer = client.get(f"/billing/invoices/{invoice}.csv")
    text = b"".join(answer).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["amount_usd"] for row in rows] == ["20.00", "-5.00", "0.00052"]
