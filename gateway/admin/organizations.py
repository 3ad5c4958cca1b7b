"""Organizations as the operator sees them: money, plan and people at a glance, and what to do."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join

from accounts import impersonation, organizations
from accounts.desk import LargeAdmin, operator
from accounts.models import Membership, Organization, User
from billing import ledger, subscriptions
from billing.models import AdjustmentState, Subscription, UsageDay
from billing.periods import today
from billing.templatetags.figures import money
from gateway.admin.forms import AdjustmentForm, PlanForm

_MEMBERS_MAX = 50


class OrganizationList(ChangeList):
    """A page of organizations, and in one query what each spent this month."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = self.result_list = list(self.result_list)
        spent = spent_this_month([row.pk for row in rows])
        for row in rows:
            row.spent_nanos = spent.get(row.pk, 0)


def spent_this_month(organizations: list[int]) -> dict[int, int]:
    """Nanos by organization, from the sums per day."""
    days = UsageDay.objects.filter(
        organization_id__in=organizations, day__gte=today().replace(day=1)
    )
    sums = days.order_by().values("organization_id").annotate(total=Sum("charge_nanos"))
    return {row["organization_id"]: row["total"] for row in sums}


@admin.register(Organization)
class OrganizationAdmin(LargeAdmin):
    """Made by `create_organization` or by sign-up, which also give it a wallet and a plan."""

    change_form_template = "admin/desk/organization.html"
    list_display = ("name", "slug", "plan", "balance", "spent", "created_at", "suspended_at")
    list_select_related = ("wallet", "subscription__plan")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter), "subscription__plan")
    search_fields = ("name", "slug")
    search_help_text = "Part of a name, or a member's whole email address."
    readonly_fields = ("created_at", "suspended_at", "people", "balance", "held", "spent",
                       "plan", "limits", "cap", "markup")  # fmt: skip
    fieldsets = (
        (None, {"fields": ("name", "slug", "created_at", "suspended_at", "people")}),
        ("Money", {"fields": ("balance", "held", "spent", "cap")}),
        ("Plan", {"fields": ("plan", "limits", "markup")}),
    )
    actions = ("suspend", "resume")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OrganizationList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """An address is looked up by its index; joined to the names it would join every member."""
        if "@" not in search_term:
            return super().get_search_results(request, queryset, search_term)
        users = User.objects.alias(address=Lower("email")).filter(
            address=search_term.strip().lower()
        )
        return queryset.filter(memberships__user__in=users), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # --- columns --------------------------------------------------------------------------------

    @admin.display(description="plan", ordering="subscription__plan__position")
    def plan(self, row: Organization) -> str:
        return str(row.subscription.plan) if _is_subscribed(row) else "–"

    @admin.display(description="balance", ordering="wallet__credits_posted")
    def balance(self, row: Organization) -> str:
        return money(row.wallet.balance_nanos if hasattr(row, "wallet") else None)

    @admin.display(description="held by running requests")
    def held(self, row: Organization) -> str:
        return money(row.wallet.debits_pending if hasattr(row, "wallet") else None)

    @admin.display(description="spent this month")
    def spent(self, row: Organization) -> str:
        known = getattr(row, "spent_nanos", None)
        return money(spent_this_month([row.pk]).get(row.pk, 0) if known is None else known)

    @admin.display(description="limits per minute")
    def limits(self, row: Organization) -> str:
        if not _is_subscribed(row):
            return "–"
        plan = row.subscription.plan
        return (
            f"{_count(plan.requests_per_minute)} requests, {_count(plan.tokens_per_minute)} tokens"
        )

    @admin.display(description="monthly spend cap")
    def cap(self, row: Organization) -> str:
        cap = row.subscription.spend_cap_month_nanos if _is_subscribed(row) else None
        return "none" if cap is None else money(cap)

    @admin.display(description="markup")
    def markup(self, row: Organization) -> str:
        if not _is_subscribed(row):
            return "–"
        own = row.subscription.markup_ppm
        ppm = row.subscription.plan.markup_ppm if own is None else own
        return f"× {ppm / 1_000_000:g}" + (" (its own)" if own is not None else " (the plan's)")

    @admin.display(description="members")
    def people(self, row: Organization) -> str:
        members = Membership.objects.filter(organization=row).select_related("user")
        shown = members.order_by("created_at", "pk")[:_MEMBERS_MAX]
        return format_html_join(
            "", "<div>{} · {}</div>", ((one.user.email, one.get_role_display()) for one in shown)
        )

    # --- what an operator does ------------------------------------------------------------------

    @admin.action(description="Suspend the selected organizations", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        changed = sum(organizations.suspend(row) for row in queryset)
        self.message_user(request, f"{changed} organizations suspended.", messages.SUCCESS)

    @admin.action(description="Resume the selected organizations", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        changed = sum(organizations.resume(row) for row in queryset)
        self.message_user(request, f"{changed} organizations resumed.", messages.SUCCESS)

    def get_urls(self) -> list[Any]:
        pages = (
            ("standing", self.standing_view),
            ("adjust", self.adjust_view),
            ("plan", self.plan_view),
            ("impersonate", self.impersonate_view),
        )
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def _found(self, request: HttpRequest, object_id: str) -> Organization:
        return cast(Organization, self.find(request, object_id))

    def standing_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Suspends, or serves again, whichever it is not."""
        row = self._found(request, object_id)
        if request.method != "POST":
            return HttpResponse(status=405)
        if request.POST.get("to") == "suspended":
            organizations.suspend(row)
            return self.back(request, row, f"{row} is suspended: its requests are refused.")
        organizations.resume(row)
        return self.back(request, row, f"{row} is served again.")

    def adjust_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._found(request, object_id)
        if not request.user.has_perm("billing.add_adjustmentrequest"):
            raise PermissionDenied
        form = AdjustmentForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                made = form.ask(row, operator(request))
            except ledger.InsufficientFunds as error:
                form.add_error("amount", f"Only {money(error.available_nanos)} are available.")
            else:
                if made.state == AdjustmentState.POSTED:
                    return self.back(request, row, f"{money(made.amount_nanos)} moved.")
                may_see = request.user.has_perm("billing.view_adjustmentrequest")
                said = "Asked for: another operator has to agree."
                return self.back(request, made if may_see else row, said)
        title = f"Credit or debit {row}"
        lead = f"The balance is {self.balance(row)}."
        return self.form_page(request, form, title, "Go on", row, lead=lead)

    def plan_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._found(request, object_id)
        if not _is_subscribed(row):
            return self.back(request, row, "It has no subscription.", is_good=False)
        form = PlanForm(request.POST or None, initial={"plan": row.subscription.plan})
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():
                subscriptions.change_plan(row, form.cleaned_data["plan"], charge_fee=False)
            return self.back(request, row, "The plan is changed; nothing was charged.")
        return self.form_page(request, form, f"Plan of {row}", "Change", row)

    def impersonate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opens the customer's own pages; `accounts.impersonation` decides who may."""
        row = self._found(request, object_id)
        if request.method != "POST":
            return HttpResponse(status=405)
        try:
            impersonation.begin(request, row)
        except impersonation.NotAllowed as error:
            return self.back(request, row, str(error), is_good=False)
        return redirect("overview")


def _is_subscribed(row: Organization) -> bool:
    try:
        return bool(row.subscription)
    except Subscription.DoesNotExist:
        return False


def _count(limit: int | None) -> str:
    return "unlimited" if limit is None else f"{limit:,}"
