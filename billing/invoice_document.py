"""An invoice or credit note as a document states it: whole cents, which add up exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from billing import countries, proration, taxes
from billing.models import CreditNote, Invoice, InvoiceLine, LineKind, TaxKind

# A document lists this many lines; the CSV has all of them.
LINES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class DocumentLine:
    title: str
    note: str
    net_minor: int


@dataclass(frozen=True, slots=True)
class Document:
    """Tax is included in `total_minor`; the lines are without it and add up to the rest."""

    number: str
    is_credit_note: bool
    issued_on: date
    first_day: date
    last_day: date
    seller: dict[str, Any]
    buyer: dict[str, Any]
    lines: list[DocumentLine]
    total_minor: int
    tax_minor: int
    tax_kind: TaxKind
    tax_rate_ppm: int
    note: str = ""
    corrects: str = ""

    @property
    def net_minor(self) -> int:
        return self.total_minor - self.tax_minor

    @property
    def tax_words(self) -> str:
        if self.tax_kind == TaxKind.STANDARD:
            return _("Tax included, %(rate)s %%") % {"rate": f"{self.tax_rate_ppm / 10_000:g}"}
        if self.tax_kind == TaxKind.REVERSE:
            return _("Reverse charge: the customer owes the tax")
        return _("No tax")


def of_invoice(invoice: Invoice) -> Document:
    lines = list(invoice.lines.all()[: LINES_MAX + 1])
    net_minor = invoice.total_minor - invoice.tax_minor
    if len(lines) > LINES_MAX:
        shown = [DocumentLine(_("Usage and plan, lines in the CSV file"), "", net_minor)]
    else:
        parts = taxes.spread([line.amount_nanos for line in lines], net_minor)
        shown = [
            DocumentLine(*words(line), minor) for line, minor in zip(lines, parts, strict=True)
        ]
    return Document(
        number=str(invoice),
        is_credit_note=False,
        issued_on=invoice.finalized_at.date(),
        first_day=invoice.month,
        last_day=proration.last_day(invoice.month),
        seller=invoice.seller,
        buyer=invoice.buyer,
        lines=shown,
        total_minor=invoice.total_minor,
        tax_minor=invoice.tax_minor,
        tax_kind=TaxKind(invoice.tax_kind),
        tax_rate_ppm=invoice.tax_rate_ppm,
        note=_("Paid from the prepaid balance. Nothing is due."),
    )


def of_credit_note(note: CreditNote) -> Document:
    invoice = note.invoice
    net_minor = note.total_minor - note.tax_minor
    return Document(
        number=str(note),
        is_credit_note=True,
        issued_on=note.issued_at.date(),
        first_day=invoice.month,
        last_day=proration.last_day(invoice.month),
        seller=invoice.seller,
        buyer=invoice.buyer,
        lines=[DocumentLine(note.reason, "", net_minor)],
        total_minor=note.total_minor,
        tax_minor=note.tax_minor,
        tax_kind=TaxKind(invoice.tax_kind),
        tax_rate_ppm=invoice.tax_rate_ppm,
        note=_("Given back to the prepaid balance."),
        corrects=str(invoice),
    )


def words(line: InvoiceLine) -> tuple[str, str]:
    """What a line is for, and its small print."""
    if line.kind == LineKind.USAGE:
        facts = {
            "requests": f"{line.requests:,}",
            "input": f"{line.input_tokens:,}",
            "output": f"{line.output_tokens:,}",
        }
        note = _("%(requests)s requests, %(input)s input and %(output)s output tokens") % facts
        return f"{line.project_name}: {line.model}", note
    title = _("%(plan)s plan") if line.kind == LineKind.FEE else _("Credit included in %(plan)s")
    return title % {"plan": line.model}, f"{line.first_day} – {line.last_day}"


def address(party: dict[str, Any]) -> Iterator[str]:
    """The party as it stands on an envelope."""
    place = " ".join(part for part in (party.get("postal_code"), party.get("city")) if part)
    country = party.get("country", "")
    for part in (
        party.get("company") or party.get("name"),
        party.get("line_1"),
        party.get("line_2"),
        place,
        party.get("region"),
        countries.name(country) if country else "",
        party.get("vat_id"),
    ):
        if part:
            yield str(part)
