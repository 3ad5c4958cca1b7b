"""Organizations as the operator sees them: money, plan and people at a glance, and what to do."""

from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import impersonation, organizations
from accounts.desk import LargeAdmin, operator
from accounts.models import Membership, Organization, User
from billing import ledger, subscriptions
from billing.models import AdjustmentState, Plan, Subscription, UsageDay
from billing.money import format_usd
from billing.operator_fields import FactorField
from billing.periods import today
from billing.templatetags.figures import limit, money
from gateway.admin.exports import ExportedAdmin
from gateway.admin.forms import AdjustmentForm, PlanForm
from gateway.admin.helped import Helped

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


class PlanFilter(admin.SimpleListFilter):
    """Public plans by name, and all custom ones together: there may be one for every customer."""

    title = gettext_lazy("plan")
    parameter_name = "plan"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        public = Plan.objects.filter(organization=None).values_list("pk", "name")
        return [*((str(pk), name) for pk, name in public), ("own", _("One of its own"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or ""
        if chosen == "own":
            return queryset.filter(subscription__plan__organization__isnull=False)
        return queryset.filter(subscription__plan=int(chosen)) if chosen.isdigit() else queryset


@admin.register(Organization)
class OrganizationAdmin(Helped, ExportedAdmin, LargeAdmin):
    """Made by `create_organization` or by sign-up, which also give it a wallet and a plan."""

    change_form_template = "admin/desk/organization.html"
    list_display = ("name", "slug", "plan", "balance", "spent", "created_at", "suspended_at")
    list_select_related = ("wallet", "subscription__plan")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter), PlanFilter)
    search_fields = ("name", "slug")
    search_help_text = gettext_lazy("Part of a name, or a member’s whole email address")
    readonly_fields = ("slug", "created_at", "suspended_at", "people", "balance", "held", "spent",
                       "cap", "plan", "limits", "markup")  # fmt: skip
    fieldsets = (
        (None, {"fields": ("name", "slug", "created_at", "suspended_at", "people")}),
        (gettext_lazy("Money"), {"fields": ("balance", "held", "spent", "cap")}),
        (gettext_lazy("Plan"), {"fields": ("plan", "limits", "markup")}),
    )
    actions = ("suspend", "resume")
    export_header: ClassVar = ("id", "short_name", "name", "plan", "balance_usd",
                               "spent_this_month_usd", "created_utc", "suspended_utc")  # fmt: skip

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

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        organizations.rename(Organization.objects.get(pk=obj.pk), obj.name)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None  # `organizations.rename` has recorded it

    def export_rows(self, found: list[Any]) -> list[list[Any]]:
        spent = spent_this_month([row.pk for row in found])
        return [
            [
                row.pk, row.slug, row.name,
                row.subscription.plan.slug if _is_subscribed(row) else "",
                format_usd(row.wallet.balance_nanos) if hasattr(row, "wallet") else "",
                format_usd(spent.get(row.pk, 0)),
                f"{row.created_at:%Y-%m-%dT%H:%M:%SZ}",
                f"{row.suspended_at:%Y-%m-%dT%H:%M:%SZ}" if row.suspended_at else "",
            ]
            for row in found
        ]  # fmt: skip

    # --- columns --------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("plan"), ordering="subscription__plan__position")
    def plan(self, row: Organization) -> str:
        return str(row.subscription.plan) if _is_subscribed(row) else "–"

    @admin.display(description=gettext_lazy("balance"), ordering="wallet__credits_posted")
    def balance(self, row: Organization) -> str:
        return money(row.wallet.balance_nanos if hasattr(row, "wallet") else None)

    @admin.display(description=gettext_lazy("held by running requests"))
    def held(self, row: Organization) -> str:
        return money(row.wallet.debits_pending if hasattr(row, "wallet") else None)

    @admin.display(description=gettext_lazy("monthly spend cap"))
    def cap(self, row: Organization) -> str:
        return money(row.wallet.usage_cap_month_nanos if hasattr(row, "wallet") else None)

    @admin.display(description=gettext_lazy("spent this month"))
    def spent(self, row: Organization) -> str:
        known = getattr(row, "spent_nanos", None)
        return money(spent_this_month([row.pk]).get(row.pk, 0) if known is None else known)

    @admin.display(description=gettext_lazy("limits per minute"))
    def limits(self, row: Organization) -> str:
        if not _is_subscribed(row):
            return "–"
        plan = row.subscription.plan
        return _("%(requests)s requests, %(tokens)s tokens") % {
            "requests": limit(plan.requests_per_minute), "tokens": limit(plan.tokens_per_minute),
        }  # fmt: skip

    @admin.display(description=gettext_lazy("markup"))
    def markup(self, row: Organization) -> str:
        if not _is_subscribed(row):
            return "–"
        own = row.subscription.markup_ppm
        ppm = row.subscription.plan.markup_ppm if own is None else own
        words = _("× %s (the plan’s)") if own is None else _("× %s (its own)")
        return words % FactorField().write(ppm)

    @admin.display(description=gettext_lazy("members"))
    def people(self, row: Organization) -> str:
        members = Membership.objects.filter(organization=row).select_related("user")
        shown = members.order_by("created_at", "pk")[:_MEMBERS_MAX]
        return format_html_join(
            "", "<div>{} · {}</div>", ((one.user.email, one.get_role_display()) for one in shown)
        )

    # --- what an operator does ------------------------------------------------------------------

    @admin.action(description=gettext_lazy("Suspend the selected organizations"),
                  permissions=["change"])  # fmt: skip
    def suspend(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        changed = sum(organizations.suspend(row) for row in queryset)
        said = ngettext("%d organization suspended.", "%d organizations suspended.", changed)
        self.message_user(request, said % changed, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Resume the selected organizations"),
                  permissions=["change"])  # fmt: skip
    def resume(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        changed = sum(organizations.resume(row) for row in queryset)
        said = ngettext("%d organization resumed.", "%d organizations resumed.", changed)
        self.message_user(request, said % changed, messages.SUCCESS)

    def get_urls(self) -> list[Any]:
        pages = (
            ("standing", self.standing_view),
            ("adjust", self.adjust_view),
            ("plan", self.plan_view),
            ("impersonate", self.impersonate_view),
        )
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def _found(
        self, request: HttpRequest, object_id: str, permission: str = "accounts.change_organization"
    ) -> Organization:
        """Raises PermissionDenied and Http404."""
        row = self.get_object(request, object_id)
        if not (self.has_view_permission(request) and request.user.has_perm(permission)):
            raise PermissionDenied
        if row is None:
            raise Http404
        return cast(Organization, row)

    def standing_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Suspends, or serves again, whichever it is not."""
        row = self._found(request, object_id)
        if request.method == "POST":
            if request.POST.get("to") == "suspended":
                organizations.suspend(row)
                return self.back(request, row, _("Suspended: its requests are refused."))
            organizations.resume(row)
            return self.back(request, row, _("It is served again."))
        if row.suspended_at:
            lead = _("Its keys work again at once.")
            return self.confirm_page(request, _("Resume %s") % row, lead, _("Resume"), row,
                                     name="to", value="served")  # fmt: skip
        lead = _(
            "Every request with its keys is refused with a 403 from now on, running ones end by"
            " themselves, and nothing can be paid in. Balance, members and data stay."
        )
        return self.confirm_page(request, _("Suspend %s") % row, lead, _("Suspend"), row,
                                 name="to", value="suspended")  # fmt: skip

    def adjust_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._found(request, object_id, "billing.add_adjustmentrequest")
        form = AdjustmentForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                made = form.ask(row, operator(request))
            except ledger.InsufficientFunds as error:
                said = _("Only %s are available.") % money(error.available_nanos)
                form.add_error("amount", said)
            else:
                if made.state == AdjustmentState.POSTED:
                    return self.back(request, row, _("%s moved.") % money(made.amount_nanos))
                may_see = request.user.has_perm("billing.view_adjustmentrequest")
                said = _("Asked for: another operator has to agree.")
                return self.back(request, made if may_see else row, said)
        lead = _("The balance is %s.") % self.balance(row)
        title = _("Credit or debit %s") % row
        return self.form_page(request, form, title, _("Go on"), row, lead=lead)

    def plan_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._found(request, object_id, "billing.change_subscription")
        if not _is_subscribed(row):
            return self.back(request, row, _("It has no subscription."), is_good=False)
        form = PlanForm(request.POST or None, initial={"plan": row.subscription.plan})
        form.offer(Plan.objects.filter(Q(organization=None) | Q(organization=row)))
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():
                subscriptions.change_plan(row, form.cleaned_data["plan"], charge_fee=False)
            return self.back(request, row, _("The plan is changed; nothing was charged."))
        return self.form_page(request, form, _("Plan of %s") % row, _("Change"), row)

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
