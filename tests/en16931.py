"""The rules of EN 16931 that can be checked on a UBL file alone, written from the norm's list of
business rules. `broken` names those that a file breaks; what a rule is about stands beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from xml.etree import ElementTree as ET

SPACES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
CENT = Decimal("0.01")
# The order in which UBL 2.1's schema wants the parts that are used here.
ORDERS = {
    "root": ["CustomizationID", "ID", "IssueDate", "InvoiceTypeCode", "CreditNoteTypeCode", "Note",
             "DocumentCurrencyCode", "InvoicePeriod", "BillingReference", "AccountingSupplierParty",
             "AccountingCustomerParty", "TaxTotal", "LegalMonetaryTotal", "InvoiceLine",
             "CreditNoteLine"],
    "Party": ["PartyIdentification", "PostalAddress", "PartyTaxScheme", "PartyLegalEntity"],
    "PostalAddress": ["StreetName", "AdditionalStreetName", "CityName", "PostalZone",
                      "CountrySubentity", "Country"],
    "LegalMonetaryTotal": ["LineExtensionAmount", "TaxExclusiveAmount", "TaxInclusiveAmount",
                           "PrepaidAmount", "PayableAmount"],
    "TaxSubtotal": ["TaxableAmount", "TaxAmount", "TaxCategory"],
    "TaxCategory": ["ID", "Percent", "TaxExemptionReasonCode", "TaxExemptionReason", "TaxScheme"],
    "InvoiceLine": ["ID", "InvoicedQuantity", "LineExtensionAmount", "Item", "Price"],
    "CreditNoteLine": ["ID", "CreditedQuantity", "LineExtensionAmount", "Item", "Price"],
    "Item": ["Description", "Name", "ClassifiedTaxCategory"],
}  # fmt: skip


def broken(content: bytes) -> list[str]:
    """The rules that the file breaks, by their names. Raises `ET.ParseError` for one that is no
    well-formed XML."""
    root = ET.fromstring(content)
    file = _File(root)
    return [name for name, holds in _RULES.items() if not holds(file)]


class _File:
    def __init__(self, root: ET.Element) -> None:
        self.root = root
        self.kind = _local(root)
        self.lines = root.findall(f"cac:{self.kind}Line", SPACES)
        self.subtotals = root.findall("cac:TaxTotal/cac:TaxSubtotal", SPACES)
        self.category = self.text("cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID")

    def text(self, path: str, part: ET.Element | None = None) -> str:
        found = (self.root if part is None else part).findtext(path, "", SPACES)
        return found.strip()

    def amount(self, path: str, part: ET.Element | None = None) -> Decimal:
        return Decimal(self.text(path, part))

    def total(self, name: str) -> Decimal:
        return self.amount(f"cac:LegalMonetaryTotal/cbc:{name}")

    def party(self, who: str, path: str) -> str:
        return self.text(f"cac:Accounting{who}Party/cac:Party/{path}")

    def vat_id(self, who: str) -> str:
        return self.party(who, "cac:PartyTaxScheme/cbc:CompanyID")

    def line_sum(self) -> Decimal:
        return sum((self.amount("cbc:LineExtensionAmount", one) for one in self.lines), Decimal())

    def each_line(self, *paths: str) -> bool:
        return all(self.text(path, one) for one in self.lines for path in paths)

    def is_in_order(self) -> bool:
        return all(_is_in_order(one, name) for name, one in _ordered(self.root))


def _ordered(root: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    yield "root", root
    for part in root.iter():
        if _local(part) in ORDERS:
            yield _local(part), part


def _is_in_order(part: ET.Element, name: str) -> bool:
    wanted = ORDERS[name]
    found = [_local(one) for one in part]
    if not set(found) <= set(wanted):
        return False
    places = [wanted.index(one) for one in found]
    return places == sorted(places)


def _local(part: ET.Element) -> str:
    return part.tag.rpartition("}")[2]


def _decimals(file: _File) -> bool:
    amounts = [one for one in file.root.iter() if "currencyID" in one.attrib]
    wanted = file.text("cbc:DocumentCurrencyCode")
    return all(
        one.attrib["currencyID"] == wanted and re.fullmatch(r"-?\d+(\.\d{1,2})?", one.text or "")
        for one in amounts
    )


def _tax(file: _File) -> bool:
    """Category tax is the taxable amount times the rate. Where a price includes the tax, the tax
    is rounded from the total, and the norm's own checks allow it to be off by that rounding."""
    for one in file.subtotals:
        rate = Decimal(file.text("cac:TaxCategory/cbc:Percent", one) or "0")
        wanted = (file.amount("cbc:TaxableAmount", one) * rate / 100).quantize(CENT, ROUND_HALF_UP)
        if abs(file.amount("cbc:TaxAmount", one) - wanted) > CENT:
            return False
    return True


def _country(who: str) -> Callable[[_File], bool]:
    path = "cac:PostalAddress/cac:Country/cbc:IdentificationCode"
    return lambda file: re.fullmatch("[A-Z]{2}", file.party(who, path)) is not None


def _prefixes(file: _File) -> bool:
    given = [file.vat_id(who) for who in ("Supplier", "Customer")]
    return all(re.fullmatch("[A-Z]{2}[0-9A-Z+*]{2,18}", one) for one in given if one)


def _categories(file: _File) -> bool:
    path = "cac:Item/cac:ClassifiedTaxCategory/cbc:ID"
    return all(file.text(path, one) == file.category for one in file.lines)


def _line_rates(file: _File) -> bool:
    path = "cac:Item/cac:ClassifiedTaxCategory/cbc:Percent"
    rate = file.text("cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:Percent")
    return all(file.text(path, one) == rate for one in file.lines)


def _when(category: str, holds: Callable[[_File], bool]) -> Callable[[_File], bool]:
    return lambda file: file.category != category or holds(file)


def _reason(file: _File) -> bool:
    path = "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:TaxExemptionReason"
    return bool(file.text(path) and file.text(f"{path}Code"))


def _rate(file: _File) -> str:
    return file.text("cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:Percent")


_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_RULES: dict[str, Callable[[_File], bool]] = {
    "UBL element order": lambda file: file.is_in_order(),
    "UBL no empty element": lambda file: all(len(one) or one.text for one in file.root.iter()),
    "BR-01 specification": lambda file: (
        file.text("cbc:CustomizationID") == "urn:cen.eu:en16931:2017"
    ),
    "BR-02 number": lambda file: bool(file.text("cbc:ID")),
    "BR-03 issue date": lambda file: bool(_DATE.fullmatch(file.text("cbc:IssueDate"))),
    "BR-04 type code": lambda file: (
        file.text(f"cbc:{file.kind}TypeCode") == {"Invoice": "380", "CreditNote": "381"}[file.kind]
    ),
    "BR-05 currency": lambda file: file.text("cbc:DocumentCurrencyCode") == "USD",
    "BR-06 seller name": lambda file: bool(
        file.party("Supplier", "cac:PartyLegalEntity/cbc:RegistrationName")
    ),
    "BR-07 buyer name": lambda file: bool(
        file.party("Customer", "cac:PartyLegalEntity/cbc:RegistrationName")
    ),
    "BR-09 seller country": _country("Supplier"),
    "BR-11 buyer country": _country("Customer"),
    "BR-16 a line": lambda file: bool(file.lines),
    "BR-21 line id": lambda file: file.each_line("cbc:ID"),
    "BR-22 BR-24 line quantity and amount": lambda file: file.each_line(
        f"cbc:{'Invoiced' if file.kind == 'Invoice' else 'Credited'}Quantity",
        "cbc:LineExtensionAmount",
    ),
    "BR-23 unit": lambda file: all(
        one.attrib.get("unitCode") == "C62"
        for line in file.lines
        for one in line
        if _local(one).endswith("Quantity")
    ),
    "BR-25 BR-26 item name and price": lambda file: file.each_line(
        "cac:Item/cbc:Name", "cac:Price/cbc:PriceAmount"
    ),
    "BR-27 price not negative": lambda file: all(
        file.amount("cac:Price/cbc:PriceAmount", one) >= 0 for one in file.lines
    ),
    "BR-29 period": lambda file: (
        file.text("cac:InvoicePeriod/cbc:StartDate") <= file.text("cac:InvoicePeriod/cbc:EndDate")
    ),
    "BR-55 preceding invoice": lambda file: (
        file.kind == "Invoice"
        or bool(file.text("cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID"))
    ),
    "BR-CO-04 category of each line": _categories,
    "BR-CO-09 VAT id prefix": _prefixes,
    "BR-CO-10 sum of lines": lambda file: file.line_sum() == file.total("LineExtensionAmount"),
    "BR-CO-13 without tax": lambda file: (
        file.total("TaxExclusiveAmount") == file.total("LineExtensionAmount")
    ),
    "BR-CO-14 tax total": lambda file: (
        file.amount("cac:TaxTotal/cbc:TaxAmount")
        == sum(file.amount("cbc:TaxAmount", one) for one in file.subtotals)
    ),
    "BR-CO-15 with tax": lambda file: (
        file.total("TaxInclusiveAmount")
        == file.total("TaxExclusiveAmount") + file.amount("cac:TaxTotal/cbc:TaxAmount")
    ),
    "BR-CO-16 amount due": lambda file: (
        file.total("PayableAmount")
        == file.total("TaxInclusiveAmount") - file.total("PrepaidAmount")
    ),
    "BR-CO-17 category tax": _tax,
    "BR-CO-18 a breakdown": lambda file: len(file.subtotals) == 1,
    "BR-CO-26 seller identifier": lambda file: bool(
        file.party("Supplier", "cac:PartyIdentification/cbc:ID") or file.vat_id("Supplier")
    ),
    "BR-DEC two decimals, one currency": _decimals,
    "BR-S/AE/O-08 taxable amount": lambda file: (
        file.amount("cac:TaxTotal/cac:TaxSubtotal/cbc:TaxableAmount") == file.line_sum()
    ),
    "BR-S/AE-05 rate of lines": _line_rates,
    "BR-S-02 seller VAT id": _when("S", lambda file: bool(file.vat_id("Supplier"))),
    "BR-S-05 rate above zero": _when("S", lambda file: Decimal(_rate(file)) > 0),
    "BR-S-10 no reason": _when("S", lambda file: not _reason(file)),
    "BR-AE-02 both VAT ids": _when(
        "AE", lambda file: bool(file.vat_id("Supplier") and file.vat_id("Customer"))
    ),
    "BR-AE-05 rate zero": _when("AE", lambda file: Decimal(_rate(file)) == 0),
    "BR-AE-09 no tax": _when("AE", lambda file: file.amount("cac:TaxTotal/cbc:TaxAmount") == 0),
    "BR-AE-10 reason": _when("AE", _reason),
    "BR-O-02 no VAT ids": _when(
        "O", lambda file: not (file.vat_id("Supplier") or file.vat_id("Customer"))
    ),
    "BR-O-05 no rate": _when("O", lambda file: _rate(file) == ""),
    "BR-O-09 no tax": _when("O", lambda file: file.amount("cac:TaxTotal/cbc:TaxAmount") == 0),
    "BR-O-10 reason": _when("O", _reason),
    "a category of these": lambda file: file.category in ("S", "AE", "O"),
}
