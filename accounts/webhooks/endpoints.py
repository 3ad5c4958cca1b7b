"""Where an organization wants to be told: endpoints, added, changed, rotated, switched, removed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from accounts import audit, mail, organizations
from accounts.models import Membership, Organization, Role
from accounts.webhooks import letters, signing
from accounts.webhooks.models import WebhookEndpoint

ENDPOINTS_MAX = 10  # of one organization
OVERLAP_MAX = timedelta(days=7)
_TOLD_MAX = 50


class TooManyEndpoints(Exception):
    """The organization has `ENDPOINTS_MAX` already."""


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint, and its secret, which is shown this once."""

    row: WebhookEndpoint
    secret: str


def create(
    organization: Organization, url: str, event_types: Iterable[str], description: str = ""
) -> NewSecret:
    """The URL has been vetted by the caller, and is again at each delivery. Raises
    `TooManyEndpoints`."""
    secret = signing.new_secret()
    with transaction.atomic():
        organizations.lock(organization.pk)
        if organization.webhook_endpoints.count() >= ENDPOINTS_MAX:
            raise TooManyEndpoints
        row = WebhookEndpoint.objects.create(
            organization=organization,
            url=url,
            description=description,
            event_types=sorted(event_types),
            secret=secret,
        )
        audit.record("webhook.added", organization, row.host, id=row.pk, events=row.event_types)
    return NewSecret(row, secret)


def change(
    endpoint: WebhookEndpoint, url: str, event_types: Iterable[str], description: str
) -> None:
    """Raises DoesNotExist where it was removed meanwhile."""
    with transaction.atomic():
        row = _lock(endpoint)
        before = row.host
        row.url, row.description, row.event_types = url, description, sorted(event_types)
        row.save(update_fields=["url", "description", "event_types"])
        audit.record(
            "webhook.changed", row.organization, row.host, id=row.pk, before=before,
            events=row.event_types,
        )  # fmt: skip


def rotate(endpoint: WebhookEndpoint, overlap: timedelta) -> NewSecret:
    """A new secret, and both sign for `overlap` (zero: the new one alone, at once). A secret from
    a rotation before that still signed signs no more. Raises DoesNotExist."""
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise ValueError(overlap)
    secret = signing.new_secret()
    with transaction.atomic():
        row = _lock(endpoint)
        row.old_secret = row.secret if overlap else ""
        row.old_secret_until = timezone.now() + overlap if overlap else None
        row.secret = secret
        row.save(update_fields=["secret", "old_secret", "old_secret_until"])
        audit.record("webhook.rotated", row.organization, row.host, id=row.pk)
    return NewSecret(row, secret)


def switch(endpoint: WebhookEndpoint, *, on: bool) -> bool:
    """False where it was so already. On again, what waits goes on, and past failures are
    forgotten."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, is_enabled=not on)
    with transaction.atomic():
        changed = rows.update(is_enabled=on, disabled_because="", failing_since=None)
        if changed:
            action = "webhook.enabled" if on else "webhook.disabled"
            audit.record(action, endpoint.organization, endpoint.host, id=endpoint.pk)
    return bool(changed)


def give_up(endpoint: WebhookEndpoint, because: str) -> bool:
    """Switch it off for having failed, once, and tell owners and admins. Within the caller's
    transaction."""
    running = WebhookEndpoint.objects.filter(pk=endpoint.pk, is_enabled=True)
    if not running.update(is_enabled=False, disabled_because=because):
        return False
    audit.record(
        "webhook.disabled", endpoint.organization, endpoint.host, id=endpoint.pk, reason=because
    )
    keepers = Membership.objects.filter(
        organization=endpoint.organization_id,
        role__in=[Role.OWNER, Role.ADMIN],
        user__is_active=True,
    )
    for keeper in keepers.select_related("user").order_by("pk")[:_TOLD_MAX]:
        mail.tell(keeper.user, partial(letters.switched_off, endpoint, because))
    return True


def delete(endpoint: WebhookEndpoint) -> bool:
    """With its log and what waits. False where it was gone already."""
    with transaction.atomic():
        gone, _ = WebhookEndpoint.objects.filter(pk=endpoint.pk).delete()
        if gone:
            audit.record("webhook.removed", endpoint.organization, endpoint.host, id=endpoint.pk)
    return bool(gone)


def _lock(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    rows = WebhookEndpoint.objects.select_for_update(of=("self",)).select_related("organization")
    return rows.get(pk=endpoint.pk)
