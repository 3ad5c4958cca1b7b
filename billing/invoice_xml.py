"""The e-invoice: UBL 2.1 as EN 16931 uses it, for a customer's own bookkeeping.

Elements stand in the order the schema wants. Amounts are decimals of whole cents. A credit's line
has a quantity of minus one, because a price is never below zero.
"""

from typing import Any
from xml.etree import ElementTree as ET

from billing import taxes
from billing.invoice_document import Document, DocumentLine
from billing.models import TaxKind

_SPACES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
_ROOT = "urn:oasis:names:specification:ubl:schema:xsd:"
_CURRENCY = "USD"
# UNCL 5305, and the reason where there is no tax.
_CATEGORIES = {TaxKind.STANDARD: "S", TaxKind.REVERSE: "AE", TaxKind.NONE: "O"}
_REASONS = {
    TaxKind.REVERSE: ("VATEX-EU-AE", "Reverse charge"),
    TaxKind.NONE: ("VATEX-EU-O", "Not subject to VAT"),
}


def is_possible(document: Document) -> bool:
    """Whether what the norm wants is known: both countries, and the VAT ids that a tax names."""
    seller, buyer = document.seller, document.buyer
    if not (seller.get("country") and buyer.get("country")):
        return False
    if document.tax_kind == TaxKind.NONE:
        return True
    return bool(seller.get("vat_id")) and (
        document.tax_kind == TaxKind.STANDARD or bool(buyer.get("vat_id"))
    )


def write(document: Document) -> bytes:
    """The document as one XML file; a valid one where it `is_possible`."""
    for prefix, space in _SPACES.items():
        ET.register_namespace(prefix, space)
    kind = "CreditNote" if document.is_credit_note else "Invoice"
    ET.register_namespace("", f"{_ROOT}{kind}-2")
    root = ET.Element(f"{{{_ROOT}{kind}-2}}{kind}")
    _basic(root, "CustomizationID", "urn:cen.eu:en16931:2017")
    _basic(root, "ID", document.number)
    _basic(root, "IssueDate", f"{document.issued_on}")
    _basic(root, f"{kind}TypeCode", "381" if document.is_credit_note else "380")
    _basic(root, "Note", document.note)
    _basic(root, "DocumentCurrencyCode", _CURRENCY)
    period = _part(root, "InvoicePeriod")
    _basic(period, "StartDate", f"{document.first_day}")
    _basic(period, "EndDate", f"{document.last_day}")
    if document.corrects:
        reference = _part(_part(root, "BillingReference"), "InvoiceDocumentReference")
        _basic(reference, "ID", document.corrects)
    has_tax_ids = document.tax_kind != TaxKind.NONE
    _party(_part(root, "AccountingSupplierParty"), document.seller, has_tax_ids)
    _party(_part(root, "AccountingCustomerParty"), document.buyer, has_tax_ids)
    _tax(root, document)
    _totals(root, document)
    for number, line in enumerate(document.lines, 1):
        _line(root, kind, number, line, document)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _basic(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, f"{{{_SPACES['cbc']}}}{name}", attributes).text = text


def _part(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{_SPACES['cac']}}}{name}")


def _money(parent: ET.Element, name: str, minor: int) -> None:
    whole, cents = divmod(abs(minor), 100)
    sign = "-" if minor < 0 else ""
    _basic(parent, name, f"{sign}{whole}.{cents:02d}", currencyID=_CURRENCY)


def _party(parent: ET.Element, facts: dict[str, Any], has_tax_ids: bool) -> None:
    party = _part(parent, "Party")
    if facts.get("code"):  # the issuer's own name for itself, known where no VAT id may stand
        _basic(_part(party, "PartyIdentification"), "ID", facts["code"])
    address = _part(party, "PostalAddress")
    for name, field in (
        ("StreetName", "line_1"),
        ("AdditionalStreetName", "line_2"),
        ("CityName", "city"),
        ("PostalZone", "postal_code"),
        ("CountrySubentity", "region"),
    ):
        if facts.get(field):
            _basic(address, name, facts[field])
    if facts.get("country"):
        _basic(_part(address, "Country"), "IdentificationCode", facts["country"])
    if has_tax_ids and facts.get("vat_id"):
        scheme = _part(party, "PartyTaxScheme")
        _basic(scheme, "CompanyID", taxes.plain_vat_id(facts["vat_id"]))
        _basic(_part(scheme, "TaxScheme"), "ID", "VAT")
    name = facts.get("company") or facts.get("name") or "-"
    _basic(_part(party, "PartyLegalEntity"), "RegistrationName", name)


def _category(parent: ET.Element, name: str, document: Document, with_reason: bool) -> None:
    category = _part(parent, name)
    _basic(category, "ID", _CATEGORIES[document.tax_kind])
    if document.tax_kind != TaxKind.NONE:
        rate_ppm = document.tax_rate_ppm if document.tax_kind == TaxKind.STANDARD else 0
        _basic(category, "Percent", f"{rate_ppm // 10_000}.{rate_ppm % 10_000:04d}")
    if with_reason and document.tax_kind in _REASONS:
        code, reason = _REASONS[document.tax_kind]
        _basic(category, "TaxExemptionReasonCode", code)
        _basic(category, "TaxExemptionReason", reason)
    _basic(_part(category, "TaxScheme"), "ID", "VAT")


def _tax(root: ET.Element, document: Document) -> None:
    total = _part(root, "TaxTotal")
    _money(total, "TaxAmount", document.tax_minor)
    subtotal = _part(total, "TaxSubtotal")
    _money(subtotal, "TaxableAmount", document.net_minor)
    _money(subtotal, "TaxAmount", document.tax_minor)
    _category(subtotal, "TaxCategory", document, with_reason=True)


def _totals(root: ET.Element, document: Document) -> None:
    total = _part(root, "LegalMonetaryTotal")
    _money(total, "LineExtensionAmount", document.net_minor)
    _money(total, "TaxExclusiveAmount", document.net_minor)
    _money(total, "TaxInclusiveAmount", document.total_minor)
    _money(total, "PrepaidAmount", document.total_minor)
    _money(total, "PayableAmount", 0)


def _line(root: ET.Element, kind: str, number: int, line: DocumentLine, document: Document) -> None:
    part = _part(root, f"{kind}Line")
    _basic(part, "ID", str(number))
    quantity = "CreditedQuantity" if document.is_credit_note else "InvoicedQuantity"
    _basic(part, quantity, "-1" if line.net_minor < 0 else "1", unitCode="C62")
    _money(part, "LineExtensionAmount", line.net_minor)
    item = _part(part, "Item")
    if line.note:
        _basic(item, "Description", line.note)
    _basic(item, "Name", line.title)
    _category(item, "ClassifiedTaxCategory", document, with_reason=False)
    _money(_part(part, "Price"), "PriceAmount", abs(line.net_minor))
