"""Settings: the organization itself, its name, and ways out of it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import limits, members, organizations
from accounts.access import (
    ADMIN_ROLES,
    OWNER_ROLES,
    MemberRequest,
    gone_is_404,
    member_required,
    require,
)
from accounts.forms import OrganizationForm
from accounts.people_forms import HandOverForm


@limits.posts("30/m")
@member_required
def settings(request: MemberRequest) -> HttpResponse:
    """What the organization is called, and one's own part in it. Owners and admins rename it."""
    membership = request.membership
    organization = membership.organization
    form = OrganizationForm(request.POST or None, initial={"name": organization.name})
    if request.method == "POST":
        require(membership, ADMIN_ROLES)
        if form.is_valid():
            organizations.rename(organization, form.cleaned_data["name"].strip())
            messages.success(request, _("Saved."))
            return redirect("settings")
    context = {
        "form": form,
        "may_rename": membership.role in ADMIN_ROLES,
        "is_owner": membership.role in OWNER_ROLES,
        "is_last_owner": members.is_last_owner(membership),
        "members_count": organization.memberships.count(),
    }
    status = 422 if form.is_bound else 200
    return render(request, "accounts/organization.html", context, status=status)


@limits.posts("20/m")
@member_required
def leave(request: MemberRequest) -> HttpResponse:
    """Asks once; the last owner is told what to do instead."""
    membership = request.membership
    name = membership.organization.name
    if request.method == "POST":
        try:
            members.leave(membership)
        except members.LastOwner:
            messages.error(request, _("You are its only owner: hand it over, or delete it."))
            return redirect("settings")
        messages.success(request, _("You left %(name)s.") % {"name": name})
        return redirect("home")
    context = {"is_last_owner": members.is_last_owner(membership)}
    return render(request, "accounts/leave.html", context)


@limits.posts("20/m")
@member_required
def hand_over(request: MemberRequest) -> HttpResponse:
    """Make another member the owner; one stays as an admin."""
    membership = request.membership
    require(membership, OWNER_ROLES)
    form = HandOverForm(request.POST or None, owner=membership)
    if request.method == "POST" and form.is_valid():
        heir = form.cleaned_data["member"]
        with gone_is_404():
            members.hand_over(heir, by=membership)
        messages.success(request, _("%(who)s owns it now.") % {"who": heir.user.email})
        return redirect("settings")
    status = 422 if form.is_bound else 200
    return render(request, "accounts/hand_over.html", {"form": form}, status=status)
