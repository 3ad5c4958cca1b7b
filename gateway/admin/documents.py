"""Invoices and credit notes: read as they were written; part of an invoice is given back here."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import invoice_issue, invoices
from billing.models import CreditNote, Invoice, InvoiceLine
from billing.money import NANOS_PER_CENT
from billing.operators import FigureFields, ReadOnly, ReadOnlyAdmin
from billing.templatetags.figures import money
from gateway.admin.forms import CreditNoteForm
from gateway.admin.owned import OwnedAdmin
from gateway.admin.payments import DecidedAdmin

_DIFFERENCES_MAX = 5


class InvoiceLineInline(ReadOnly, FigureFields, admin.TabularInline):
    model = InvoiceLine
    extra = 0
    fields = ("kind", "project_name", "model", "requests", "input_tokens", "output_tokens",
              "amount")  # fmt: skip
    readonly_fields = ("amount",)

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, row: InvoiceLine) -> str:
        return money(row.amount_nanos)


@admin.register(Invoice)
class InvoiceAdmin(OwnedAdmin, DecidedAdmin):
    permission = "billing.add_creditnote"
    list_display = ("__str__", "organization", "month", "total_minor", "tax_minor", "tax_kind",
                    "finalized_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("tax_kind",)
    raw_id_fields = ("organization",)
    search_help_text = gettext_lazy("An invoice’s number, or an organization")
    ordering = ("-id",)
    inlines = (InvoiceLineInline,)

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        numbered = Invoice.objects.named(search_term.strip())
        found, _distinct = super().get_search_results(request, queryset, search_term)
        rows = queryset.filter(pk__in=numbered.values("pk"))
        return (rows if rows.exists() else found), False

    def get_urls(self) -> list[Any]:
        pages = (("give_back", self.give_back_view), ("verify", self.verify_view))
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def acts(self, row: Any) -> list[tuple[str, Any]]:
        return [("give_back", _("Issue a credit note")), ("verify", _("Recompute"))]

    def give_back_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = cast(Invoice, self.found(request, object_id))
        form = CreditNoteForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            facts = form.cleaned_data
            try:
                note = invoice_issue.give_back(invoice, facts["amount"], facts["reason"].strip())
            except invoice_issue.TooMuch as error:
                left = money(error.left_minor * NANOS_PER_CENT)
                form.add_error("amount", _("Only %s of it are not given back yet.") % left)
            else:
                return self.back(request, note, _("Issued, and credited to the balance."))
        given = invoice.credit_notes.aggregate(sum=Sum("total_minor"))["sum"] or 0
        left = money((invoice.total_minor - given) * NANOS_PER_CENT)
        lead = _("%s of it can be given back. The amount goes to the balance at once, with a credit"
                 " note of its own number that nobody can take back.") % left  # fmt: skip
        title = _("Credit note of %s") % invoice
        return self.form_page(request, form, title, _("Issue"), invoice, lead=lead)

    def verify_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = cast(Invoice, self.found(request, object_id))
        differences = invoices.verify_invoice(invoice)
        if not differences:
            said = _("It is what usage records, plan charges and transfers say.")
            return self.back(request, invoice, said)
        said = "; ".join(differences[:_DIFFERENCES_MAX])
        return self.back(request, invoice, said, is_good=False)


@admin.register(InvoiceLine)
class InvoiceLineAdmin(ReadOnlyAdmin):
    list_display = ("invoice", "project_name", "model", "requests", "amount_nanos")
    list_select_related = ("invoice",)
    raw_id_fields = ("invoice",)
    search_fields = ("=invoice__number",)
    search_help_text = gettext_lazy("An invoice’s number without its letters")
    ordering = ("-id",)


@admin.register(CreditNote)
class CreditNoteAdmin(OwnedAdmin, ReadOnlyAdmin):
    owner_path = "invoice__organization"
    found_by = ("number",)
    list_display = ("__str__", "invoice", "organization", "total_minor", "reason", "issued_at")
    list_select_related = ("invoice__organization",)
    raw_id_fields = ("invoice", "issuer")
    search_help_text = gettext_lazy("A credit note’s number without its letters, or an"
                                    " organization")  # fmt: skip
    ordering = ("-pk",)

    @admin.display(description=gettext_lazy("organization"))
    def organization(self, row: CreditNote) -> str:
        return str(row.invoice.organization)
