"""The operator's view of money. The ledger, usage and invoices can be read here, nothing else:
what moves them are the operator's verbs, which leave a transfer with a reason."""

from django.contrib import admin

from billing.models import (
    Account,
    AccountDelta,
    Archive,
    ArchivedAccount,
    ArchivedUsage,
    AutoTopUp,
    BillingDetails,
    CreditNote,
    Dispute,
    IdempotencyKey,
    Invoice,
    InvoiceLine,
    Issuer,
    KeyBudget,
    LatencyDay,
    ModelHour,
    PaymentCustomer,
    PaymentEvent,
    PlanCharge,
    ProjectBudget,
    RollupWatermark,
    SpendAlert,
    StreamProgress,
    Sweep,
    TaxRule,
    Transfer,
    UsageDay,
    UsageHour,
)
from billing.operators import ReadOnly, ReadOnlyAdmin


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
    list_display = ("__str__", "organization", "month", "total_nanos", "total_minor", "tax_kind",
                    "finalized_at")  # fmt: skip
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


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "invoice", "total_minor", "reason", "issued_at")
    list_select_related = ("invoice",)
    raw_id_fields = ("invoice", "issuer")
    search_fields = ("=number", "=invoice__number")
    ordering = ("-pk",)


@admin.register(PlanCharge)
class PlanChargeAdmin(ReadOnlyAdmin):
    list_display = ("organization", "kind", "plan_name", "first_day", "last_day", "amount_nanos",
                    "charged_at")  # fmt: skip
    list_select_related = ("organization",)
    raw_id_fields = ("organization",)
    search_fields = ("organization__slug",)
    ordering = ("-pk",)


class TaxRuleInline(admin.TabularInline):
    model = TaxRule
    extra = 0


@admin.register(Issuer)
class IssuerAdmin(admin.ModelAdmin):
    """What is written here stands on the invoices to come; those written keep what it was."""

    list_display = ("code", "name", "country", "vat_id", "customer_countries")
    search_fields = ("code", "name")
    inlines = (TaxRuleInline,)


@admin.register(TaxRule)
class TaxRuleAdmin(admin.ModelAdmin):
    list_display = ("issuer", "country", "rate_ppm", "is_reverse_charged")
    list_select_related = ("issuer",)
    list_filter = ("issuer",)
    search_fields = ("=country",)


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
