"""Settings: who is a member, in which role, and who is invited."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from accounts import allowances, invitations, limits, members
from accounts.access import ADMIN_ROLES, MemberRequest, gone_is_404, member_required, require
from accounts.models import ApiKey, Invitation, Membership, Role
from accounts.people_forms import InvitationForm, RoleForm, with_plans

ROLE_WORDS = {
    Role.OWNER: gettext_lazy("Everything, and hands over or deletes the organization."),
    Role.ADMIN: gettext_lazy("Everything but owners: members, projects, keys, plan, audit log."),
    Role.DEVELOPER: gettext_lazy(
        "Creates and revokes keys, manages webhooks; sees usage and requests."
    ),
    Role.BILLING: gettext_lazy("Changes the plan and pays; sees usage and requests."),
    Role.VIEWER: gettext_lazy("Sees keys, usage, requests and invoices; changes nothing."),
}


@member_required
def member_list(request: MemberRequest) -> HttpResponse:
    return _render_list(request)


@require_POST
@limits.posts("10/d", key="post:email")
@limits.posts("30/h")
@member_required
def invite(request: MemberRequest) -> HttpResponse:
    """Sends an invitation, or shows the list again with what is wrong beside the field."""
    require(request.membership, ADMIN_ROLES)
    form = InvitationForm(request.POST, roles=members.grantable(request.membership.role))
    if form.is_valid():
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        trouble = _invite(request.membership, email, role)
        if not trouble:
            messages.success(request, _("Invitation sent to %(email)s.") % {"email": email})
            return redirect("members")
        form.add_error("email", trouble)
    return _render_list(request, form)


def _invite(by: Membership, email: str, role: str) -> str:
    """What kept the invitation from being made, in words; empty where nothing did."""
    try:
        invitations.invite(email, role, by=by)
    except invitations.AlreadyMember:
        return _("This person is a member already.")
    except invitations.AlreadyInvited:
        return _("This person is invited already. Send that invitation again instead.")
    except invitations.TooManyInvitations:
        most = {"n": invitations.PENDING_MAX}
        return _("There are %(n)s open invitations already. Withdraw one first.") % most
    except allowances.TooManyMembers as error:
        return _too_many(error)
    return ""


def _too_many(error: allowances.TooManyMembers) -> str | SafeString:
    if not error.is_plans:
        most = {"n": error.maximum}
        return _("There are %(n)s members and invitations already, the most there may be.") % most
    words = ngettext(
        "Your plan allows %(n)s member, open invitations included.",
        "Your plan allows %(n)s members, open invitations included.",
        error.maximum,
    )
    return with_plans(words % {"n": error.maximum})


def _render_list(request: MemberRequest, form: InvitationForm | None = None) -> HttpResponse:
    membership = request.membership
    organization = membership.organization
    may_manage = membership.role in ADMIN_ROLES
    rows = organization.memberships.select_related("user").order_by("created_at", "pk")
    most = allowances.MEMBERS_MAX
    context: dict[str, Any] = {
        "rows": [(row, members.may_manage(membership, row)) for row in rows[:most]],
        "may_manage": may_manage,
        "roles": [(role.label, words) for role, words in ROLE_WORDS.items()],
    }
    if may_manage:
        grantable = members.grantable(membership.role)
        context["form"] = form or InvitationForm(roles=grantable)
        context["invitations"] = [
            (one, one.role in grantable)
            for one in organization.invitations.select_related("invited_by").order_by("-sent_at")
        ]
    return render(request, "accounts/members.html", context, status=422 if form else 200)


@limits.posts("30/m")
@member_required
def member(request: MemberRequest, pk: int) -> HttpResponse:
    """One member: their role, and the way to remove them."""
    found = _find(request, pk)
    grantable = members.grantable(request.membership.role)
    form = RoleForm(request.POST or None, roles=grantable, initial={"role": found.role})
    if request.method == "POST" and form.is_valid():
        with gone_is_404():
            members.change_role(found, form.cleaned_data["role"], by=request.membership)
        messages.success(request, _("Saved."))
        return redirect("members")
    context = {
        "one": found,
        "form": form,
        "roles": [(role.label, ROLE_WORDS[role]) for role in grantable],
    }
    status = 422 if form.is_bound else 200
    return render(request, "accounts/member.html", context, status=status)


@limits.posts("30/m")
@member_required
def member_remove(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks once, saying what stays: the keys they made."""
    found = _find(request, pk)
    if request.method == "POST":
        with gone_is_404():
            members.remove(found, by=request.membership)
        messages.success(request, _("%(who)s is no longer a member.") % {"who": found.user.email})
        return redirect("members")
    made = ApiKey.objects.filter(organization=found.organization_id, created_by=found.user_id)
    context = {"one": found, "keys": made.lasting().live().count()}
    return render(request, "accounts/member_remove.html", context)


def _find(request: MemberRequest, pk: int) -> Membership:
    """A member whom the person asking may manage; 403 for the others of their organization."""
    require(request.membership, ADMIN_ROLES)
    rows = Membership.objects.select_related("user")
    found = get_object_or_404(rows, organization=request.membership.organization_id, pk=pk)
    if not members.may_manage(request.membership, found):
        raise PermissionDenied
    return found


@require_POST
@limits.posts("30/h")
@member_required
def invitation_resend(request: MemberRequest, pk: int) -> HttpResponse:
    found = _invitation(request, pk)
    with gone_is_404():
        invitations.resend(found, by=request.membership)
    messages.success(request, _("Sent again to %(email)s.") % {"email": found.email})
    return redirect("members")


@require_POST
@limits.posts("30/m")
@member_required
def invitation_revoke(request: MemberRequest, pk: int) -> HttpResponse:
    found = _invitation(request, pk)
    invitations.revoke(found, by=request.membership)
    messages.success(
        request, _("The invitation to %(email)s no longer works.") % {"email": found.email}
    )
    return redirect("members")


def _invitation(request: MemberRequest, pk: int) -> Invitation:
    require(request.membership, ADMIN_ROLES)
    organization_id = request.membership.organization_id
    return get_object_or_404(Invitation, organization=organization_id, pk=pk)
