"""Signing in and up (allauth's views under our limits), and choosing an organization."""

from typing import Any

from allauth.account import views as allauth_views
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST
from django_ratelimit.decorators import ratelimit

from accounts import current, organizations
from accounts.access import MemberRequest, member_required
from accounts.forms import OrganizationForm
from accounts.models import Organization

# Per address, over allauth's own limits per account: guessing is slow, an office still gets in.
login = ratelimit(key="ip", rate="20/m", method="POST")(allauth_views.login)
signup = ratelimit(key="ip", rate="20/m", method="POST")(allauth_views.signup)
password_reset = ratelimit(key="ip", rate="10/m", method="POST")(allauth_views.password_reset)


@require_POST
@login_required
def switch_organization(request: HttpRequest) -> HttpResponse:
    """Work in another of one's organizations. One that is not one's own does not exist: 404."""
    mine = Organization.objects.filter(memberships__user_id=request.user.pk)
    chosen = request.POST.get("organization", "")
    if not chosen.isdigit():
        return redirect("home")
    current.choose(request, get_object_or_404(mine, pk=int(chosen)))
    return redirect("home")


@ratelimit(key="user", rate="10/h", method="POST")
@login_required
def new_organization(request: HttpRequest) -> HttpResponse:
    """For a person without one. The form is the page's only question."""
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and not current.choices(request):
        made = organizations.create(form.cleaned_data["name"], request.user)  # type: ignore[arg-type]
        current.choose(request, made)
        return redirect("welcome")
    if current.choices(request):
        return redirect("home")
    return render(request, "accounts/organization_new.html", {"form": form})


@member_required
def account(request: MemberRequest, **_: Any) -> HttpResponse:
    """Who is signed in, and where to change email and password."""
    return render(request, "accounts/account.html")
