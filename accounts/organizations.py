"""Organizations: made whole, in one transaction, or not at all."""

from typing import Any

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.text import slugify

from accounts import audit
from accounts.models import ApiKey, Invitation, Membership, Organization, Project, Role, User

# Sent inside the transaction that creates the organization, so that billing can give it a
# wallet and a plan without accounts knowing billing. Arguments: organization, options (dict).
organization_created = Signal()


def create(name: str, owner: User, **options: object) -> Organization:
    """An organization with its owner and default project. `options` go to the receivers."""
    with transaction.atomic():
        organization = Organization.objects.create(name=name, slug=_free_slug(name))
        Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
        Project.objects.create(organization=organization, name="Default")
        organization_created.send(Organization, organization=organization, options=options)
        audit.record("organization.created", organization, name, by=audit.actor(owner))
    return organization


def _free_slug(name: str) -> str:
    slug = slugify(name)[:50] or "organization"
    if Organization.objects.filter(slug=slug).exists():
        slug = f"{slug}-{get_random_string(6).lower()}"
    return slug


def find(name: str) -> Organization:
    """By slug, id or exact name, as an operator would type it. Raises DoesNotExist."""
    by_slug = Organization.objects.filter(slug=name).first()
    if by_slug:
        return by_slug
    if name.isdigit():
        return Organization.objects.get(pk=int(name))
    return Organization.objects.get(name=name)


def lock(organization_id: int) -> Organization:
    """The organization's row, held until the transaction ends: who is a member, in which role, is
    decided by one at a time. Raises DoesNotExist for a deleted one."""
    rows = Organization.objects.select_for_update(no_key=True)
    return rows.get(pk=organization_id, deleted_at=None)


def rename(organization: Organization, name: str) -> None:
    """Only people see the name: keys, ids and the slug stay as they are."""
    before = organization.name
    if name == before:
        return
    with transaction.atomic():
        Organization.objects.filter(pk=organization.pk).update(name=name)
        organization.name = name
        audit.record("organization.renamed", organization, name, before=before)


def delete(organization: Organization, **details: Any) -> None:
    """Close it for good: keys are revoked, members and invitations removed. Its ledger, its usage
    and its audit log stay. `details` go into the audit log."""
    with transaction.atomic():
        locked = lock(organization.pk)
        now = timezone.now()
        keys = ApiKey.objects.filter(organization=locked, revoked_at=None).update(revoked_at=now)
        Invitation.objects.filter(organization=locked).delete()
        locked.webhook_endpoints.all().delete()
        locked.webhook_events.all().delete()
        members, _ = Membership.objects.filter(organization=locked).delete()
        locked.deleted_at = now
        locked.suspended_at = locked.suspended_at or now
        locked.save(update_fields=["deleted_at", "suspended_at"])
        audit.record(
            "organization.deleted", locked, locked.name, keys=keys, members=members, **details
        )


def suspend(organization: Organization) -> bool:
    """Refuse the organization's requests from now on; gateways learn of it when this commits.
    Money and members stay as they are. False where it was suspended already."""
    return _set_suspended(organization, is_suspended=True)


def resume(organization: Organization) -> bool:
    """Serve the organization again. False where it was not suspended, or is deleted."""
    return _set_suspended(organization, is_suspended=False)


def _set_suspended(organization: Organization, *, is_suspended: bool) -> bool:
    others = Organization.objects.filter(pk=organization.pk, suspended_at__isnull=is_suspended)
    others = others.filter(deleted_at=None)
    with transaction.atomic():
        changed = others.update(suspended_at=timezone.now() if is_suspended else None)
        if changed:
            word = "suspended" if is_suspended else "resumed"
            audit.record(f"organization.{word}", organization, organization.name)
    organization.refresh_from_db(fields=["suspended_at"])
    return bool(changed)
