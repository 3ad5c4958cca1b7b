"""Who belongs to an organization and in which role. There is always at least one owner.

Every verb holds the organization's row while it decides, so two owners who demote each other at
once do not leave it without one.
"""

from django.core.exceptions import PermissionDenied
from django.db import transaction

from accounts import audit, organizations
from accounts.models import Membership, Role


class LastOwner(Exception):
    """The organization would be left without an owner. Nothing has changed."""


def grantable(role: str) -> list[Role]:
    """The roles that somebody in `role` may give and take: an admin's authority ends at owners."""
    if role == Role.OWNER:
        return list(Role)
    if role == Role.ADMIN:
        return [one for one in Role if one != Role.OWNER]
    return []


def may_manage(by: Membership, member: Membership) -> bool:
    """Whether `by` may change or remove this member: nobody does so to themselves, they leave."""
    return by.pk != member.pk and member.role in grantable(by.role)


def change_role(member: Membership, role: str, *, by: Membership) -> None:
    """Raises PermissionDenied, or DoesNotExist where the member is gone. Only owners change owners
    and nobody themselves, so one always stays."""
    with transaction.atomic():
        now, acting = _lock(member, by)
        if not may_manage(acting, now) or role not in grantable(acting.role):
            raise PermissionDenied
        _give(now, role)


def appoint(member: Membership, role: str) -> None:
    """The operator's change of a role, such as when an owner has left the company. Raises
    `LastOwner`, or DoesNotExist where the member is gone."""
    with transaction.atomic():
        now, _ = _lock(member, member)
        if role != Role.OWNER and is_last_owner(now):
            raise LastOwner
        _give(now, role)


def _give(member: Membership, role: str) -> None:
    """The role, recorded; nothing where it is the member's already. Under the caller's lock."""
    if member.role == role:
        return
    before, member.role = member.role, role
    member.save(update_fields=["role"])
    audit.record(
        "member.role_changed", member.organization, member.user.email, before=before, after=role
    )


def remove(member: Membership, *, by: Membership) -> None:
    """The person keeps their account, and the keys they made keep working. Raises
    PermissionDenied or DoesNotExist."""
    with transaction.atomic():
        now, acting = _lock(member, by)
        if not may_manage(acting, now):
            raise PermissionDenied
        _end(now, "member.removed")


def leave(member: Membership) -> None:
    """Raises `LastOwner` where nobody else owns the organization."""
    with transaction.atomic():
        now, _ = _lock(member, member)
        if is_last_owner(now):
            raise LastOwner
        _end(now, "member.left")


def hand_over(to: Membership, *, by: Membership) -> None:
    """Make another member an owner and oneself an admin. Raises PermissionDenied where one owns
    nothing, or DoesNotExist."""
    with transaction.atomic():
        heir, owner = _lock(to, by)
        if owner.role != Role.OWNER or heir.pk == owner.pk:
            raise PermissionDenied
        heir.role, owner.role = Role.OWNER, Role.ADMIN
        heir.save(update_fields=["role"])
        owner.save(update_fields=["role"])
        audit.record("organization.transferred", heir.organization, heir.user.email)


def is_last_owner(member: Membership) -> bool:
    owners = Membership.objects.filter(organization=member.organization_id, role=Role.OWNER)
    return member.role == Role.OWNER and not owners.exclude(pk=member.pk).exists()


def _lock(member: Membership, by: Membership) -> tuple[Membership, Membership]:
    """Both as they are now, with the organization held. Raises DoesNotExist for one that is gone
    or of another organization."""
    organization = organizations.lock(by.organization_id)
    rows = Membership.objects.select_related("user").filter(organization=organization)
    found = rows.get(pk=member.pk)
    acting = found if by.pk == member.pk else rows.get(pk=by.pk)
    found.organization = acting.organization = organization
    return found, acting


def _end(member: Membership, action: str) -> None:
    Membership.objects.filter(pk=member.pk).delete()
    audit.record(action, member.organization, member.user.email, role=member.role)
