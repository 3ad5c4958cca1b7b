"""Organizations: made whole, in one transaction, or not at all."""

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.text import slugify

from accounts import audit
from accounts.models import Membership, Organization, Project, Role, User

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


def suspend(organization: Organization) -> bool:
    """Refuse the organization's requests from now on; gateways learn of it when this commits.
    Money and members stay as they are. False where it was suspended already."""
    return _set_suspended(organization, is_suspended=True)


def resume(organization: Organization) -> bool:
    """Serve the organization again. False where it was not suspended."""
    return _set_suspended(organization, is_suspended=False)


def _set_suspended(organization: Organization, *, is_suspended: bool) -> bool:
    others = Organization.objects.filter(pk=organization.pk, suspended_at__isnull=is_suspended)
    with transaction.atomic():
        changed = others.update(suspended_at=timezone.now() if is_suspended else None)
        if changed:
            word = "suspended" if is_suspended else "resumed"
            audit.record(f"organization.{word}", organization, organization.name)
    organization.refresh_from_db(fields=["suspended_at"])
    return bool(changed)
