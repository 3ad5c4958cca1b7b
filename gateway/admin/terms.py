"""What customers are offered, and what one of them has been given: plans, markups, issuers and tax.
All keep a history of every change."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.desk import LargeAdmin, NamedRows, RecordedAdmin
from billing.models import Issuer, Plan, PlanCharge, Subscription, TaxRule
from billing.operators import FigureAdmin, FigureFields, ReadOnlyAdmin
from gateway.admin.helped import Helped
from gateway.admin.owned import OwnedAdmin

_COPIED = ("fee_nanos_per_month", "included_credit_nanos", "requests_per_minute",
           "tokens_per_minute", "markup_ppm", "body_bytes_max", "projects_max",
           "members_max")  # fmt: skip


class TermsAdmin(Helped, FigureAdmin, RecordedAdmin):
    record_as = "terms"
    show_facets = admin.ShowFacets.NEVER

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # subscriptions and invoices refer to them; they are changed or hidden


@admin.register(Plan)
class PlanAdmin(TermsAdmin):
    lead = gettext_lazy("A change holds for everybody on the plan: limits and markup at once, the"
                        " fee from the next month on.")  # fmt: skip
    list_display = ("name", "slug", "fee_nanos_per_month", "requests_per_minute",
                    "tokens_per_minute", "markup_ppm", "is_public", "organization",
                    "position")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_public", ("organization", admin.EmptyFieldListFilter))
    raw_id_fields = ("organization",)
    search_fields = ("name", "slug")
    search_help_text = gettext_lazy("Part of a name")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A plan of an organization's own begins as the one it is on."""
        initial = super().get_changeform_initial_data(request)
        owner = str(request.GET.get("organization", ""))
        rows = Subscription.objects.select_related("plan", "organization")
        row = rows.filter(organization_id=int(owner)).first() if owner.isdigit() else None
        if row is None:
            return initial
        copied = {name: getattr(row.plan, name) for name in _COPIED}
        name = _("%(plan)s for %(organization)s") % {
            "plan": row.plan.name, "organization": row.organization.name,
        }  # fmt: skip
        slug = f"{row.plan.slug}-{row.organization.slug}"[:40].rstrip("-")
        return {**initial, **copied, "name": name[:60], "slug": slug, "is_public": False}


@admin.register(Subscription)
class SubscriptionAdmin(OwnedAdmin, Helped, FigureAdmin, LargeAdmin):
    """The plan changes on the organization's page; here only the markup."""

    record_as = "terms"
    list_display = ("organization", "plan", "markup_ppm", "paid_nanos_per_month", "is_fee_waived",
                    "next_plan", "owed_from", "started_at")  # fmt: skip
    list_select_related = ("organization", "plan", "next_plan")
    list_filter = (("owed_from", admin.EmptyFieldListFilter),)
    raw_id_fields = ("organization",)
    search_help_text = gettext_lazy("An organization’s whole name")
    readonly_fields = ("organization", "plan", "started_at", "low_balance_mailed_at",
                       "cap_reached_at", "cap_mailed_at", "due_at",
                       "paid_nanos_per_month", "is_fee_waived", "next_plan", "trial_started_at",
                       "trial_ends_at", "owed_from", "tries")  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PlanCharge)
class PlanChargeAdmin(OwnedAdmin, ReadOnlyAdmin):
    list_display = ("organization", "kind", "plan_name", "first_day", "last_day", "amount_nanos",
                    "charged_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("kind",)
    raw_id_fields = ("organization",)
    search_help_text = gettext_lazy("An organization’s whole name")
    ordering = ("-pk",)


class TaxRuleInline(Helped, NamedRows, FigureFields, admin.TabularInline):
    model = TaxRule
    extra = 0


@admin.register(Issuer)
class IssuerAdmin(TermsAdmin):
    """What is written here stands on the invoices to come; those written keep what it was."""

    lead = gettext_lazy("Who sells: the company on invoices, and the tax its customers pay. What"
                        " was invoiced keeps what it was.")  # fmt: skip
    list_display = ("code", "name", "country", "vat_id", "customer_countries")
    search_fields = ("code", "name")
    inlines = (TaxRuleInline,)


@admin.register(TaxRule)
class TaxRuleAdmin(Helped, FigureAdmin, RecordedAdmin):
    record_as = "terms"
    list_display = ("issuer", "country", "rate_ppm", "is_reverse_charged")
    list_select_related = ("issuer",)
    list_filter = ("issuer",)
    search_fields = ("=country",)
