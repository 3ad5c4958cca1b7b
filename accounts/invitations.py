"""Invitations by mail: whoever holds the link and has the address it went to may join."""

import secrets
from collections.abc import Collection
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import allowances, audit, keys, mail, members, organizations
from accounts.models import Invitation, Membership, Organization, User
from accounts.webhooks import notices

LIFETIME = timedelta(days=7)
PENDING_MAX = 50  # of one organization
_TOKEN_BYTES = 32
# In the session of somebody who opened an invitation, until they have joined.
SESSION_KEY = "invitation"


class AlreadyMember(Exception):
    """Somebody with this address is a member."""


class AlreadyInvited(Exception):
    """There is an open invitation for this address: send it again, or revoke it."""


class TooManyInvitations(Exception):
    """The organization has `PENDING_MAX` open invitations."""


class WrongPerson(Exception):
    """The invitation is for another address."""


def invite(email: str, role: str, *, by: Membership) -> Invitation:
    """Make an invitation and queue its mail. It keeps a member's place. Raises PermissionDenied,
    `AlreadyMember`, `AlreadyInvited`, `TooManyInvitations` or `allowances.TooManyMembers`."""
    email = email.strip().lower()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with transaction.atomic():
        organization = organizations.lock(by.organization_id)
        _check(organization, email, role, by)
        invitation = Invitation.objects.create(
            organization=organization,
            email=email,
            role=role,
            digest=keys.digest(token),
            invited_by=by.user,
            expires_at=timezone.now() + LIFETIME,
        )
        _send(invitation, token, by.user)
        audit.record("invitation.sent", organization, email, role=role)
    return invitation


def _check(organization: Organization, email: str, role: str, by: Membership) -> None:
    if role not in members.grantable(by.role):
        raise PermissionDenied
    if Membership.objects.filter(organization=organization, user__email__iexact=email).exists():
        raise AlreadyMember
    open_ones = Invitation.objects.filter(organization=organization)
    if open_ones.filter(email__iexact=email).exists():
        raise AlreadyInvited
    invited = open_ones.count()
    if invited >= PENDING_MAX:
        raise TooManyInvitations
    allowances.check_members(organization, invited)


def resend(invitation: Invitation, *, by: Membership) -> None:
    """A new link for another seven days; the old one no longer works. Raises PermissionDenied, or
    DoesNotExist where the invitation was accepted or revoked meanwhile."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with transaction.atomic():
        organization = organizations.lock(by.organization_id)
        row = Invitation.objects.select_for_update().get(
            pk=invitation.pk, organization=organization
        )
        if row.role not in members.grantable(by.role):
            raise PermissionDenied
        row.digest = keys.digest(token)
        row.sent_at = timezone.now()
        row.expires_at = row.sent_at + LIFETIME
        row.save(update_fields=["digest", "sent_at", "expires_at"])
        _send(row, token, by.user)
        audit.record("invitation.resent", organization, row.email, role=row.role)


def revoke(invitation: Invitation, *, by: Membership) -> bool:
    """False where it was accepted or revoked already. Raises PermissionDenied."""
    if invitation.role not in members.grantable(by.role):
        raise PermissionDenied
    with transaction.atomic():
        gone, _rows = Invitation.objects.filter(
            pk=invitation.pk, organization=by.organization_id
        ).delete()
        if gone:
            audit.record("invitation.revoked", by.organization, invitation.email)
    return bool(gone)


def find(token: str) -> Invitation | None:
    """The open invitation with this token; None where it expired, was used or never was."""
    rows = Invitation.objects.select_related("organization", "invited_by")
    return rows.filter(
        digest=keys.digest(token),
        expires_at__gt=timezone.now(),
        organization__deleted_at=None,
    ).first()


def is_for(invitation: Invitation, user: User) -> bool:
    """Whether the invited address is this person's: the one they sign in with, or another that
    they have confirmed."""
    return invitation.email.lower() in _addresses(user)


def _addresses(user: User) -> Collection[str]:
    confirmed = EmailAddress.objects.filter(user=user, verified=True)
    return {user.email.lower()} | {row.lower() for row in confirmed.values_list("email", flat=True)}


def accept(invitation: Invitation, user: User) -> Membership:
    """Make `user` a member, once. A member already keeps their role. Raises `WrongPerson`,
    `allowances.TooManyMembers` (a smaller plan was chosen meanwhile), or Invitation.DoesNotExist
    where it was used or revoked meanwhile."""
    if not is_for(invitation, user):
        raise WrongPerson
    with transaction.atomic():
        organization = organizations.lock(invitation.organization_id)
        row = Invitation.objects.get(pk=invitation.pk, digest=invitation.digest)
        if not organization.memberships.filter(user=user).exists():
            allowances.check_members(organization)
        membership, is_new = Membership.objects.get_or_create(
            organization=organization, user=user, defaults={"role": row.role}
        )
        row.delete()
        if is_new:
            notices.member_joined(membership)
            audit.record("member.joined", organization, user.email, role=row.role)
    return membership


def remember(request: HttpRequest, invitation: Invitation) -> None:
    """Let somebody without an account sign up with the invited address: the link came to it, so it
    is theirs, and they need no organization of their own."""
    request.session[SESSION_KEY] = invitation.pk
    request.session["account_verified_email"] = invitation.email  # allauth's own name


def forget(request: HttpRequest) -> None:
    """Whoever came by an invitation has joined."""
    for name in (SESSION_KEY, "account_verified_email"):
        request.session.pop(name, None)


def is_expected(request: HttpRequest, email: str) -> bool:
    """Whether whoever signs up with `email` came by an invitation that is still open."""
    pk = request.session.get(SESSION_KEY)
    rows = Invitation.objects.filter(pk=pk, expires_at__gt=timezone.now()) if pk else None
    return rows is not None and rows.filter(email__iexact=email).exists()


def _send(invitation: Invitation, token: str, by: User) -> None:
    link = settings.BASE_URL.rstrip("/") + reverse("invitation", args=[token])
    known = User.objects.filter(email__iexact=invitation.email).first()

    def write() -> mail.Letter:
        name = invitation.organization.name
        return mail.Letter(
            subject=_("You are invited to join %(name)s") % {"name": name},
            title=_("Join %(name)s") % {"name": name},
            about=_("Invitation"),
            paragraphs=(
                _("%(who)s invites you to work in %(name)s on ttonkapi.")
                % {"who": by.email, "name": name},
            ),
            facts=((_("Role"), str(invitation.get_role_display())),),
            link=(_("Accept the invitation"), link),
            closing=_(
                "The link works once, for this address, until %(day)s (UTC). If you do not know"
                " who invites you, ignore this mail: nothing happens then."
            )
            % {"day": invitation.expires_at.strftime("%Y-%m-%d %H:%M")},
        )

    mail.queue(invitation.email, known.language if known else "", write)
