"""Adjustments: what was moved by hand, and what waits for a second operator."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.desk import LargeAdmin, operator
from billing import adjustments, ledger
from billing.models import AdjustmentRequest
from billing.operators import FigureAdmin
from billing.templatetags.figures import money, money_exact
from gateway.admin.owned import OwnedAdmin


@admin.register(AdjustmentRequest)
class AdjustmentAdmin(OwnedAdmin, FigureAdmin, LargeAdmin):
    """Made from an organization's page; here they are looked at, approved and refused."""

    lead = gettext_lazy("Credits and debits by an operator’s hand. A large one waits for a second"
                        " operator; a new one is made on the organization’s page.")  # fmt: skip
    change_form_template = "admin/desk/adjustment.html"
    list_display = ("asked_at", "organization", "amount", "reason", "state", "asked_by",
                    "decided_by")  # fmt: skip
    list_select_related = ("organization", "asked_by", "decided_by")
    list_filter = ("state",)
    found_by = ("asked_by__email",)
    search_help_text = gettext_lazy("An organization’s name, or an operator’s email address")
    fields = ("organization", "amount", "reason", "state", "asked_by", "asked_at", "decided_by",
              "decided_at", "transfer_id")  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("amount"), ordering="amount_nanos")
    def amount(self, row: AdjustmentRequest) -> str:
        return ("+" if row.amount_nanos > 0 else "") + money_exact(row.amount_nanos)

    def get_urls(self) -> list[Any]:
        return [self.object_page("decide", self.decide_view), *super().get_urls()]

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.find(request, object_id)
        if request.method != "POST":
            return HttpResponse(status=405)
        try:
            if request.POST.get("decision") == "approve":
                adjustments.approve(row, by=operator(request))
                said = _("Approved: %s moved.") % money(row.amount_nanos)
                return self.back(request, row, said)
            adjustments.refuse(row, by=operator(request))
        except adjustments.NotDecidable as error:
            return self.back(request, row, str(error), is_good=False)
        except ledger.InsufficientFunds as error:
            said = _("Only %s are available; it still waits.") % money(error.available_nanos)
            return self.back(request, row, said, is_good=False)
        return self.back(request, row, _("Refused: nothing was moved."))
