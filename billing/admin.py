"""The ledger, its sums and the machinery, for the operator to read and nothing else: what moves
money are the operator's verbs, which leave a transfer with a reason. What an operator works with
is in `gateway.admin`."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from billing.models import (
    Account,
    AccountDelta,
    Archive,
    ArchivedAccount,
    ArchivedUsage,
    AutoTopUp,
    BillingDetails,
    IdempotencyKey,
    KeyBudget,
    LatencyDay,
    ModelHour,
    PaymentCustomer,
    ProjectBudget,
    RollupWatermark,
    SpendAlert,
    StreamProgress,
    Sweep,
    Transfer,
    UsageHour,
)
from billing.operators import ReadOnlyAdmin
from billing.templatetags.figures import money_exact


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "organization", "balance", "debits_pending", "available")
    list_select_related = ("organization",)
    list_filter = ("kind",)
    search_fields = ("=organization__name", "=organization__slug")
    search_help_text = _("An organization’s whole name")
    raw_id_fields = ("organization",)
    ordering = ("-id",)

    @admin.display(description=_("balance"))
    def balance(self, row: Account) -> str:
        return money_exact(row.balance_nanos)

    @admin.display(description=_("available"))
    def available(self, row: Account) -> str:
        return money_exact(row.available_nanos)


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "state", "held_nanos", "amount_nanos", "debit_account",
                    "credit_account", "reason", "created_at", "resolved_at")  # fmt: skip
    list_select_related = ("debit_account__organization", "credit_account__organization")
    raw_id_fields = ("debit_account", "credit_account")
    search_fields = exact_search_fields = ("id",)
    search_help_text = _("A request’s or transfer’s id")
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
    search_help_text = _("An organization’s number")
    ordering = ("-id",)


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = ("organization", "is_on", "threshold_nanos", "amount_minor", "cap_minor",
                    "method_label", "failures", "stopped_because")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_on",)
    raw_id_fields = ("organization",)
    search_fields = ("=organization__slug",)
    ordering = ("-id",)


@admin.register(PaymentCustomer, BillingDetails, SpendAlert)
class OrganizationsOwnAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "organization")
    list_select_related = ("organization",)
    raw_id_fields = ("organization",)
    search_fields = ("=organization__slug",)
    ordering = ("-id",)
