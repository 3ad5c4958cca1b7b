"""The operator's view of money. The ledger, usage and invoices can be read here, nothing else:
what moves them are the operator's commands, which leave a transfer with a reason."""

from contextlib import suppress
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.lists import LargeTablePaginator
from billing.models import (
    Account,
    AccountDelta,
    Archive,
    ArchivedAccount,
    ArchivedUsage,
    AutoTopUp,
    BillingDetails,
    Dispute,
    IdempotencyKey,
    Invoice,
    InvoiceLine,
    KeyBudget,
    LatencyDay,
    ModelHour,
    PaymentCustomer,
    PaymentEvent,
    PaymentOrder,
    Plan,
    ProjectBudget,
    RedeemCode,
    RollupWatermark,
    SpendAlert,
    StreamProgress,
    Subscription,
    Sweep,
    Transfer,
    UsageDay,
    UsageHour,
    UsageRecord,
)
from billing.pages.requests import parse_id


class ReadOnly:
    """Nothing is added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, admin.ModelAdmin):
    """Large tables: no count over all rows, and pages through the primary key."""

    show_full_result_count = False
    paginator = LargeTablePaginator
    list_per_page = 50
    # Fields a search looks up as they are, so that their index answers; the stock search would
    # read every row as text.
    exact_search_fields: ClassVar[tuple[str, ...]] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not self.exact_search_fields or not search_term.strip():
            return super().get_search_results(request, queryset, search_term)
        found = Q(pk__in=[])
        for name in self.exact_search_fields:
            with suppress(ValueError, ValidationError):
                found |= Q(**{name: _read(queryset.model._meta.get_field(name), search_term)})
        return queryset.filter(found), False


def _read(field: Any, text: str) -> Any:
    """What the operator typed as the field's own value. Raises ValueError or ValidationError."""
    if isinstance(field, models.UUIDField):
        wanted = parse_id(text)
        if wanted is None:
            raise ValueError(text)
        return wanted
    value = field.to_python(text.strip())
    field.run_validators(value)
    return value


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "organization", "balance_nanos", "debits_pending",
                    "available_nanos")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("kind",)
    search_fields = ("organization__name", "organization__slug")
    raw_id_fields = ("organization",)


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "state", "held_nanos", "amount_nanos", "debit_account",
                    "credit_account", "reason", "created_at", "resolved_at")  # fmt: skip
    list_select_related = ("debit_account__organization", "credit_account__organization")
    raw_id_fields = ("debit_account", "credit_account")
    search_fields = exact_search_fields = ("id",)
    search_help_text = "A request's or transfer's id."
    ordering = ("-id",)


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization_id", "model", "provider", "status", "billing_reason",
                    "charge_nanos", "started_at")  # fmt: skip
    search_fields = exact_search_fields = ("id", "organization_id")
    search_help_text = "A request's id, or an organization's number."
    ordering = ("-id",)


@admin.register(
    AccountDelta, Archive, ArchivedAccount, ArchivedUsage, IdempotencyKey, KeyBudget,
    LatencyDay, ModelHour, ProjectBudget, RollupWatermark, StreamProgress, Sweep,
)  # fmt: skip
class MachineryAdmin(ReadOnlyAdmin):
    list_display = ("__str__",)
    search_fields = ("=pk",)
    ordering = ("pk",)


@admin.register(UsageHour)
class UsageHourAdmin(ReadOnlyAdmin):
    list_display = ("hour", "organization_id", "model", "requests", "errors", "charge_nanos")
    search_fields = exact_search_fields = ("organization_id",)
    search_help_text = "An organization's number."
    ordering = ("-id",)


@admin.register(UsageDay)
class UsageDayAdmin(ReadOnlyAdmin):
    list_display = ("day", "organization_id", "model", "requests", "errors", "charge_nanos")
    search_fields = exact_search_fields = ("organization_id",)
    search_help_text = "An organization's number."
    ordering = ("-id",)


class InvoiceLineInline(ReadOnly, admin.TabularInline):
    model = InvoiceLine
    extra = 0


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "organization", "month", "total_nanos", "finalized_at")
    list_select_related = ("organization",)
    raw_id_fields = ("organization",)
    search_fields = ("=number", "organization__name")
    inlines = (InvoiceLineInline,)


@admin.register(InvoiceLine)
class InvoiceLineAdmin(ReadOnlyAdmin):
    list_display = ("invoice", "project_name", "model", "requests", "amount_nanos")
    list_select_related = ("invoice",)
    raw_id_fields = ("invoice",)
    search_fields = ("=invoice__number", "model", "project_name")


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "fee_nanos_per_month", "requests_per_minute",
                    "tokens_per_minute", "markup_ppm", "is_public", "position")  # fmt: skip
    search_fields = ("name", "slug")


@admin.register(Subscription)
class SubscriptionAdmin(admin.ModelAdmin):
    """The plan changes by `set_plan` or on the customer's page; here only the markup."""

    show_full_result_count = False
    paginator = LargeTablePaginator
    ordering = ("-id",)
    list_display = ("organization", "plan", "markup_ppm", "started_at")
    list_select_related = ("organization", "plan")
    list_filter = ("plan",)
    raw_id_fields = ("organization",)
    search_fields = ("organization__name",)
    readonly_fields = ("organization", "plan", "started_at", "low_balance_mailed_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PaymentOrder)
class PaymentOrderAdmin(ReadOnlyAdmin):
    list_display = ("reference", "organization", "provider", "amount_minor", "currency", "state",
                    "refunded_minor", "loss_nanos", "is_automatic", "created_at",
                    "paid_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("state", "provider", "is_automatic")
    raw_id_fields = ("organization", "created_by")
    search_fields = ("=reference", "=provider_id", "organization__slug")
    ordering = ("-id",)


@admin.register(PaymentEvent)
class PaymentEventAdmin(ReadOnlyAdmin):
    list_display = ("event_id", "provider", "kind", "state", "order", "note", "attempts",
                    "received_at")  # fmt: skip
    list_select_related = ("order",)
    list_filter = ("state", "kind", "provider")
    raw_id_fields = ("order",)
    search_fields = ("=event_id", "=order__reference")
    ordering = ("-id",)


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ("provider_id", "order", "amount_minor", "state", "wallet_nanos", "loss_nanos",
                    "opened_at", "closed_at")  # fmt: skip
    list_select_related = ("order",)
    list_filter = ("state",)
    raw_id_fields = ("order",)
    search_fields = ("=provider_id", "=order__reference")
    ordering = ("-id",)


@admin.register(RedeemCode)
class RedeemCodeAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "amount_nanos", "expires_at", "redeemed_at", "organization")
    list_select_related = ("organization",)
    raw_id_fields = ("organization", "redeemed_by")
    search_fields = ("=batch", "=last_four", "organization__slug")
    ordering = ("-id",)


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = ("organization", "is_on", "threshold_nanos", "amount_minor", "cap_minor",
                    "method_label", "failures", "stopped_because")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_on",)
    raw_id_fields = ("organization",)
    search_fields = ("organization__slug",)
    ordering = ("-id",)


@admin.register(PaymentCustomer, BillingDetails, SpendAlert)
class OrganizationsOwnAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "organization")
    list_select_related = ("organization",)
    raw_id_fields = ("organization",)
    search_fields = ("organization__slug",)
    ordering = ("-id",)
