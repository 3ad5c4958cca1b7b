"""Choosing an organization, and making one."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts import current, impersonation, limits, organizations
from accounts.forms import OrganizationForm
from accounts.models import Organization, User


@require_POST
@login_required
def switch_organization(request: HttpRequest) -> HttpResponse:
    """Work in another of one's organizations. One that is not one's own does not exist: 404."""
    mine = Organization.objects.filter(memberships__user=cast(User, request.user))
    chosen = request.POST.get("organization", "")
    if not chosen.isdigit():
        return redirect("home")
    current.choose(request, get_object_or_404(mine, pk=int(chosen)))
    return redirect("home")


@require_POST
@login_required
def end_impersonation(request: HttpRequest) -> HttpResponse:
    """An operator leaves a customer's dashboard, back to that customer's record."""
    organization = impersonation.end(request)
    if organization is None:
        return redirect("home")
    return redirect("admin:accounts_organization_change", organization.pk)


@limits.posts("10/h")
@login_required
def new_organization(request: HttpRequest) -> HttpResponse:
    """For a person without one. The form is the page's only question."""
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and not current.choices(request):
        made = organizations.create(form.cleaned_data["name"], cast(User, request.user))
        current.choose(request, made)
        return redirect("welcome")
    if current.choices(request):
        return redirect("home")
    return render(request, "accounts/organization_new.html", {"form": form})
