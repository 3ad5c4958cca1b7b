"""Invoices: the months that were closed, what each of them lists, and its files."""

from datetime import date

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts import limits
from accounts.access import MemberRequest, member_required
from billing import csv_files, invoice_document, invoice_xml
from billing.invoice_document import Document
from billing.models import CreditNote, Invoice
from billing.money import format_usd

PAGE = 24
_CSV_HEADER = ["kind", "project", "model", "first_day", "last_day", "requests", "input_tokens",
               "output_tokens", "amount_usd"]  # fmt: skip
_CSV_LINES_MAX = 20_000
_LINES_SHOWN = 500


@member_required
def invoices(request: MemberRequest) -> HttpResponse:
    mine = Invoice.objects.filter(organization=request.membership.organization)
    before = _month(request.GET.get("before", ""))
    if before:
        mine = mine.filter(month__lt=before)
    rows = list(mine[: PAGE + 1])
    context = {
        "invoices": rows[:PAGE],
        "older": f"{rows[PAGE - 1].month}" if len(rows) > PAGE else None,
        "is_first": before is None,
    }
    return render(request, "billing/invoices.html", context)


@member_required
def invoice(request: MemberRequest, number: str) -> HttpResponse:
    found = _find(request, number)
    lines = list(found.lines.all()[: _LINES_SHOWN + 1])
    document = invoice_document.of_invoice(found)
    context = {
        "invoice": found,
        "lines": [(line, *invoice_document.words(line)) for line in lines[:_LINES_SHOWN]],
        "is_cut": len(lines) > _LINES_SHOWN,
        "document": document,
        "has_xml": invoice_xml.is_possible(document),
        "buyer": [*invoice_document.address(found.buyer)],
        "seller": [*invoice_document.address(found.seller)],
        "notes": found.credit_notes.select_related("invoice")[:100],
    }
    return render(request, "billing/invoice.html", context)


@require_GET
@member_required
def invoice_csv(request: MemberRequest, number: str) -> HttpResponse:
    """The lines, exact to the nano."""
    found = _find(request, number)
    rows = [
        [line.kind, line.project_name, line.model, line.first_day or "", line.last_day or "",
         line.requests, line.input_tokens, line.output_tokens, format_usd(line.amount_nanos)]
        for line in found.lines.all()[:_CSV_LINES_MAX]
    ]  # fmt: skip
    return csv_files.respond(f"{found}.csv", _CSV_HEADER, iter([rows]))


@require_GET
@member_required
def invoice_xml_file(request: MemberRequest, number: str) -> HttpResponse:
    return _xml(invoice_document.of_invoice(_find(request, number)))


@require_GET
@limits.gets("20/m")
@member_required
def invoice_pdf_file(request: MemberRequest, number: str) -> HttpResponse:
    return _pdf(invoice_document.of_invoice(_find(request, number)))


@require_GET
@member_required
def credit_note_xml(request: MemberRequest, number: str, note: int) -> HttpResponse:
    return _xml(invoice_document.of_credit_note(_find_note(request, number, note)))


@require_GET
@limits.gets("20/m")
@member_required
def credit_note_pdf(request: MemberRequest, number: str, note: int) -> HttpResponse:
    return _pdf(invoice_document.of_credit_note(_find_note(request, number, note)))


def _find(request: MemberRequest, number: str) -> Invoice:
    return get_object_or_404(
        Invoice.objects.named(number), organization=request.membership.organization
    )


def _find_note(request: MemberRequest, number: str, note: int) -> CreditNote:
    notes = CreditNote.objects.select_related("invoice")
    return get_object_or_404(notes, invoice=_find(request, number), number=note)


def _month(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _xml(document: Document) -> HttpResponse:
    if not invoice_xml.is_possible(document):
        raise Http404
    return _file(invoice_xml.write(document), f"{document.number}.xml", "application/xml")


def _pdf(document: Document) -> HttpResponse:
    # Only who downloads a file pays for what draws it.
    from billing import invoice_pdf

    try:
        content = invoice_pdf.write(document)
    except invoice_pdf.Busy:
        words = _("The file could not be made just now. Try again in a minute.")
        return HttpResponse(words, status=503, content_type="text/plain; charset=utf-8")
    return _file(content, f"{document.number}.pdf", "application/pdf")


def _file(content: bytes, name: str, content_type: str) -> HttpResponse:
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
