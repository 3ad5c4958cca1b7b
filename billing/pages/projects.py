"""Settings: projects, what each spends this month, and how much it may."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from accounts import allowances, limits, projects
from accounts.access import ADMIN_ROLES, MemberRequest, gone_is_404, member_required, require
from accounts.forms import UsdField
from accounts.models import ApiKey, Project
from accounts.people_forms import with_plans
from billing import money, project_budgets

_SHOWN_MAX = 200


class ProjectForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    budget_month_nanos = UsdField(
        label=gettext_lazy("Monthly budget"),
        required=False,
        help_text=gettext_lazy(
            "USD per UTC month, for all its keys together. Above it, requests get a 402 until the"
            " next month begins. Empty: no budget."
        ),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A project as the list shows it."""

    project: Project
    keys: int
    spent_nanos: int

    @property
    def percent(self) -> int:
        """Of the budget, at most 100."""
        budget = self.project.budget_month_nanos
        return min(100, 100 * self.spent_nanos // budget) if budget else 100


@member_required
def project_list(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    spent = project_budgets.spent_this_month(organization.pk)
    keys = _live_keys(organization.pk)
    found = list(organization.projects.order_by("archived_at", "pk")[:_SHOWN_MAX])
    rows = [Row(one, keys.get(one.pk, 0), spent.get(one.pk, 0)) for one in found]
    context = {
        "open": [row for row in rows if not row.project.archived_at],
        "archived": [row for row in rows if row.project.archived_at],
        "may_manage": request.membership.role in ADMIN_ROLES,
    }
    return render(request, "billing/projects.html", context)


@limits.posts("30/m")
@member_required
def project_new(request: MemberRequest) -> HttpResponse:
    require(request.membership, ADMIN_ROLES)
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            with transaction.atomic():
                made = projects.create(request.membership.organization, data["name"])
                project_budgets.set_budget(made, data["budget_month_nanos"])
        except projects.NameTaken:
            form.add_error("name", _name_taken())
        except allowances.TooManyProjects as error:
            form.add_error(None, _too_many(error))
        else:
            messages.success(request, _("“%(name)s” is ready for keys.") % {"name": made.name})
            return redirect("projects")
    status = 422 if form.is_bound else 200
    return render(request, "billing/project_new.html", {"form": form}, status=status)


@limits.posts("30/m")
@member_required
def project(request: MemberRequest, pk: int) -> HttpResponse:
    """One project: its name and budget, and the way to put it away."""
    found = _find(request, pk)
    budget = found.budget_month_nanos
    typed = "" if budget is None else money.format_usd(budget)
    initial = {"name": found.name, "budget_month_nanos": typed}
    form = ProjectForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic(), gone_is_404():
                projects.rename(found, form.cleaned_data["name"])
                project_budgets.set_budget(found, form.cleaned_data["budget_month_nanos"])
        except projects.NameTaken:
            form.add_error("name", _name_taken())
        else:
            messages.success(request, _("Saved."))
            return redirect("projects")
    spent = project_budgets.spent_this_month(found.organization_id).get(pk, 0)
    context = {"project": found, "form": form, "spent_nanos": spent}
    status = 422 if form.is_bound else 200
    return render(request, "billing/project.html", context, status=status)


@limits.posts("30/m")
@member_required
def project_archive(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks once, naming the keys that stop working."""
    found = _find(request, pk)
    if request.method == "POST":
        try:
            with gone_is_404():
                revoked = projects.archive(found)
        except projects.LastProject:
            messages.error(request, _("Keys need a project: this is the only one."))
            return redirect("projects")
        words = ngettext(
            "“%(name)s” is archived, %(n)s key revoked.",
            "“%(name)s” is archived, %(n)s keys revoked.",
            revoked,
        )
        messages.success(request, words % {"name": found.name, "n": revoked})
        return redirect("projects")
    live = found.api_keys.lasting().live()
    context: dict[str, Any] = {"project": found, "keys": live[:_SHOWN_MAX]}
    return render(request, "billing/project_archive.html", context)


@require_POST
@limits.posts("30/m")
@member_required
def project_restore(request: MemberRequest, pk: int) -> HttpResponse:
    found = _find(request, pk)
    try:
        with gone_is_404():
            projects.restore(found)
    except allowances.TooManyProjects as error:
        messages.error(request, _too_many(error))
    else:
        words = _("“%(name)s” is back. Its old keys stay revoked: make new ones.")
        messages.success(request, words % {"name": found.name})
    return redirect("projects")


def _find(request: MemberRequest, pk: int) -> Project:
    require(request.membership, ADMIN_ROLES)
    return get_object_or_404(Project, organization=request.membership.organization_id, pk=pk)


def _live_keys(organization_id: int) -> dict[int, int]:
    """How many keys of each project open the door."""
    live = ApiKey.objects.filter(organization=organization_id).lasting().live().order_by()
    rows = live.values_list("project_id").annotate(n=Count("pk"))
    return dict(rows)


def _name_taken() -> str:
    return _("Another project has this name, perhaps an archived one.")


def _too_many(error: allowances.TooManyProjects) -> str | SafeString:
    most = {"n": error.maximum}
    if not error.is_plans:
        return _("There are %(n)s projects already. Archive one first.") % most
    words = ngettext(
        "Your plan allows %(n)s project that is not archived.",
        "Your plan allows %(n)s projects that are not archived.",
        error.maximum,
    )
    return with_plans(words % most)
