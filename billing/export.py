"""Everything kept about an organization, as one JSON document that is never in memory as a whole.

Secrets are left out. Single requests are not in it: they are downloaded from their page, month by
month; here are their sums by day.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import Q

from accounts import export
from accounts.export import Facts, List
from accounts.models import ApiKey, AuditEntry, Invitation, Membership, Organization, Project
from billing.models import (
    Account,
    AutoTopUp,
    BillingDetails,
    CreditNote,
    Invoice,
    InvoiceLine,
    PaymentOrder,
    SpendAlert,
    Subscription,
    Transfer,
    TransferKind,
    UsageDay,
)


def write(organization: Organization) -> Iterator[str]:
    """The document, piece by piece. Amounts are integers: nanos, and cents where it says minor."""
    yield from export.pieces(_facts(organization), _lists(organization))


def _facts(organization: Organization) -> Facts:
    wallet = Account.objects.get(organization=organization)
    return {
        "organization": {
            "id": organization.pk,
            "name": organization.name,
            "slug": organization.slug,
            "created_at": organization.created_at,
            "suspended_at": organization.suspended_at,
            "deleted_at": organization.deleted_at,
            "balance_nanos": wallet.balance_nanos,
        },
        "plan": _plan(organization),
        "billing_details": _fields(
            BillingDetails.objects.filter(organization=organization).first(),
            ("company", "line_1", "line_2", "postal_code", "city", "region", "country", "vat_id"),
        ),
        "automatic_top_up": _fields(
            AutoTopUp.objects.filter(organization=organization).first(),
            ("is_on", "threshold_nanos", "amount_minor", "cap_minor", "method_label"),
        ),
    }


def _lists(organization: Organization) -> list[List]:
    wallet = Account.objects.get(organization=organization)
    mine = {"organization": organization}
    transfers = Transfer.objects.filter(Q(debit_account=wallet) | Q(credit_account=wallet))
    return [
        ("members", Membership.objects.filter(**mine).select_related("user").order_by("pk"),
         lambda row: {"email": row.user.email, "name": row.user.name, "role": row.role,
                      "since": row.created_at}),
        ("invitations", Invitation.objects.filter(**mine).order_by("pk"),
         _reader("email", "role", "created_at", "expires_at")),
        ("projects", Project.objects.filter(**mine).order_by("pk"),
         _reader("id", "name", "created_at", "archived_at", "budget_month_nanos")),
        ("keys", ApiKey.objects.filter(**mine).order_by("pk"),
         _reader("id", "project_id", "name", "masked", "allowed_models", "allowed_addresses",
                 "created_at", "expires_at", "revoked_at", "last_used_at")),
        ("webhook_endpoints", organization.webhook_endpoints.order_by("pk"),
         _reader("url", "description", "event_types", "is_enabled", "created_at")),
        ("spend_alerts", SpendAlert.objects.filter(**mine).order_by("pk"),
         _reader("threshold_nanos")),
        ("payments", PaymentOrder.objects.filter(**mine).order_by("pk"),
         _reader("reference", "provider", "currency", "amount_minor", "refunded_minor", "state",
                 "is_automatic", "created_at", "paid_at")),
        ("transfers", transfers.exclude(kind=TransferKind.USAGE).order_by("pk"),
         lambda row: {"id": row.pk, "kind": row.kind, "state": row.state, "reason": row.reason,
                      "amount_nanos": _signed(row, wallet), "at": row.created_at}),
        ("usage_by_day", UsageDay.objects.filter(organization_id=organization.pk).order_by("pk"),
         _reader("day", "project_id", "api_key_id", "model", "requests", "errors", "input_tokens",
                 "cached_input_tokens", "cache_write_tokens", "output_tokens",
                 "reasoning_output_tokens", "charge_nanos")),
        ("invoices", Invoice.objects.filter(**mine).order_by("pk"),
         lambda row: {"number": str(row), **_fields(row, (
             "month", "finalized_at", "total_nanos", "total_minor", "tax_minor", "tax_kind",
             "tax_rate_ppm", "seller", "buyer"))}),
        ("invoice_lines", InvoiceLine.objects.filter(invoice__organization=organization)
         .select_related("invoice").order_by("pk"),
         lambda row: {"invoice": str(row.invoice), **_fields(row, (
             "kind", "project_name", "model", "requests", "input_tokens", "output_tokens",
             "amount_nanos", "first_day", "last_day"))}),
        ("credit_notes", CreditNote.objects.filter(invoice__organization=organization)
         .select_related("invoice").order_by("pk"),
         lambda row: {"number": str(row), "invoice": str(row.invoice), **_fields(row, (
             "reason", "total_minor", "tax_minor", "issued_at"))}),
        ("audit_log", AuditEntry.objects.filter(**mine).order_by("sequence"), _entry),
    ]  # fmt: skip


def _plan(organization: Organization) -> Facts | None:
    row = Subscription.objects.filter(organization=organization).select_related("plan").first()
    if row is None:
        return None
    return {"name": row.plan.name, "since": row.started_at, "due_at": row.due_at}


def _entry(row: AuditEntry) -> Facts:
    """An operator's own address is nobody's business outside."""
    who = "operator" if row.is_operator else row.actor_email
    address = "" if row.is_operator else row.address
    return {"actor": who, "address": address, **_fields(row, (
        "sequence", "action", "target", "details", "created_at"))}  # fmt: skip


def _signed(row: Transfer, wallet: Account) -> int:
    return row.amount_nanos if row.credit_account_id == wallet.pk else -row.amount_nanos


def _reader(*names: str) -> Any:
    return lambda row: _fields(row, names)


def _fields(row: Any, names: tuple[str, ...]) -> Facts:
    return {name: getattr(row, name) for name in names} if row is not None else {}
