"""What customers are offered, and what one of them has been given: plans and markups. Both keep a
history of every change."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.desk import LargeAdmin, RecordedAdmin
from billing.models import Plan, Subscription


@admin.register(Plan)
class PlanAdmin(RecordedAdmin):
    record_as = "terms"
    list_display = ("name", "slug", "fee_nanos_per_month", "requests_per_minute",
                    "tokens_per_minute", "markup_ppm", "is_public", "position")  # fmt: skip
    search_fields = ("name", "slug")


@admin.register(Subscription)
class SubscriptionAdmin(LargeAdmin):
    """The plan changes on the organization's page; here only the markup and the cap."""

    record_as = "terms"
    list_display = ("organization", "plan", "markup_ppm", "started_at")
    list_select_related = ("organization", "plan")
    list_filter = ("plan",)
    raw_id_fields = ("organization",)
    search_fields = ("organization__name",)
    readonly_fields = ("organization", "plan", "started_at", "low_balance_mailed_at", "due_at",
                       "paid_nanos_per_month", "is_fee_waived", "next_plan", "trial_started_at",
                       "trial_ends_at", "owed_from", "tries")  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
