"""The page an invitation's link opens, for members to be with and without an account."""

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import allowances, current, invitations, limits
from accounts.models import Invitation, User


@limits.posts("20/m", key="ip")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Says who invites to what; joins on POST. A link that no longer works says so, with 404."""
    found = invitations.find(token)
    if found is None:
        return _gone(request)
    user = request.user
    if not isinstance(user, User) or not user.is_authenticated:
        if request.method == "POST":
            return redirect_to_login(request.path)
        invitations.remember(request, found)
        return _show(request, found)
    if not invitations.is_for(found, user):
        return _show(request, found, status=403 if request.method == "POST" else 200)
    if request.method == "POST":
        return _join(request, found, user)
    return _show(request, found)


def _join(request: HttpRequest, found: Invitation, user: User) -> HttpResponse:
    try:
        membership = invitations.accept(found, user)
    except Invitation.DoesNotExist:
        return _gone(request)
    except allowances.TooManyMembers:
        words = _("%(name)s has as many members as its plan allows. Ask whoever invited you.")
        messages.error(request, words % {"name": found.organization.name})
        return _show(request, found, status=422)
    invitations.forget(request)
    current.choose(request, membership.organization)
    messages.success(
        request,
        _("Welcome to %(name)s. Your role: %(role)s.")
        % {"name": membership.organization.name, "role": membership.get_role_display()},
    )
    return redirect("overview")


def _show(request: HttpRequest, found: Invitation, status: int = 200) -> HttpResponse:
    user = request.user
    context = {
        "invitation": found,
        # Only the holder of the link learns it, who reads that address's mail.
        "has_account": User.objects.filter(email__iexact=found.email).exists(),
        "is_mine": isinstance(user, User) and invitations.is_for(found, user),
    }
    response = render(request, "accounts/invitation.html", context, status=status)
    response["Cache-Control"] = "private, no-store"
    return response


def _gone(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/invitation_gone.html", status=404)
