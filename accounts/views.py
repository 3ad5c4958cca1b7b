"""Signing in and up (allauth's views under our limits), and choosing an organization."""

from typing import cast

from allauth.account import views as allauth_views
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts import current, limits, organizations
from accounts.access import MemberRequest, member_required
from accounts.forms import OrganizationForm
from accounts.models import Organization, User

# Per address, over allauth's own limits per account: guessing is slow, an office still gets in.
login = limits.posts("20/m", key="ip")(allauth_views.login)
signup = limits.posts("20/m", key="ip")(allauth_views.signup)
password_reset = limits.posts("10/m", key="ip")(allauth_views.password_reset)


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


@member_required
def account(request: MemberRequest, /) -> HttpResponse:
    """Who is signed in, and where to change email and password."""
    return render(request, "accounts/account.html")
