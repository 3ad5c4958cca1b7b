"""Adjustments: what was moved by hand, and what waits for a second operator."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from accounts.desk import LargeAdmin, operator
from billing import adjustments, ledger
from billing.models import AdjustmentRequest
from billing.templatetags.figures import money, money_exact


@admin.register(AdjustmentRequest)
class AdjustmentAdmin(LargeAdmin):
    """Made from an organization's page; here they are looked at, approved and refused."""

    change_form_template = "admin/desk/adjustment.html"
    list_display = ("asked_at", "organization", "amount", "reason", "state", "asked_by",
                    "decided_by")  # fmt: skip
    list_select_related = ("organization", "asked_by", "decided_by")
    list_filter = ("state",)
    search_fields = ("organization__slug", "=asked_by__email")
    fields = ("organization", "amount", "reason", "state", "asked_by", "asked_at", "decided_by",
              "decided_at", "transfer_id")  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="amount", ordering="amount_nanos")
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
                return self.back(request, row, f"Approved: {money(row.amount_nanos)} moved.")
            adjustments.refuse(row, by=operator(request))
        except adjustments.NotDecidable as error:
            return self.back(request, row, str(error), is_good=False)
        except ledger.InsufficientFunds as error:
            said = f"Only {money(error.available_nanos)} are available; it still waits."
            return self.back(request, row, said, is_good=False)
        return self.back(request, row, "Refused: nothing was moved.")
