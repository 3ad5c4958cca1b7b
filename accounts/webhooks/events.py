"""What happened, told to whoever wants to know: one row, and one for each endpoint it goes to."""

import json
import logging
import uuid
from datetime import UTC
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from accounts.webhooks.models import (
    DeliveryState,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

log = logging.getLogger(__name__)

# Of the payloads' shape. A change that a receiver could stumble over gets another date.
API_VERSION = "2026-11-01"
# Every event there is, and when it happens.
TYPES = {
    "key.created": _("An API key was created."),
    "key.rotated": _("A new API key replaces another."),
    "key.revoked": _("An API key was revoked."),
    "member.joined": _("Somebody accepted an invitation."),
    "balance.low": _("The balance fell below the amount at which we warn you."),
    "spend.threshold_reached": _("The month’s spend reached one of your alerts."),
    "spend.cap_reached": _("Requests are refused: the month’s spend cap is reached."),
    "payment.succeeded": _("A top-up is in the balance."),
    "payment.failed": _("An automatic top-up could not be charged."),
    "plan.changed": _("The organization is on another plan."),
    "invoice.issued": _("An invoice was issued."),
}
TEST = "webhook.test"
# An endpoint that is so far behind is told nothing more until it has caught up.
WAITING_MAX = 10_000


def emit(organization: Organization, type: str, data: dict[str, Any]) -> WebhookEvent | None:
    """Queue `data` for every endpoint of the organization that wants `type`, with the caller's
    transaction or not at all. None where nobody wants it.

    Never put a secret into it. Amounts are nanos and, beside them, decimal text.
    """
    if type not in TYPES:
        raise ValueError(f"{type!r} is not one of the types")
    with transaction.atomic():
        wanting = list(_wanting(organization.pk, type))
        return _queue(organization, type, data, wanting) if wanting else None


def emit_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Queue an event that says nothing happened, for this endpoint alone."""
    data = {"message": "This is a test. Nothing happened."}
    with transaction.atomic():
        event = _queue(endpoint.organization, TEST, data, [endpoint])
    return event.deliveries.get()


def _wanting(organization_id: int, type: str) -> QuerySet[WebhookEndpoint]:
    """Endpoints that are on, want this and are not hopelessly behind."""
    waiting = WebhookDelivery.objects.filter(
        endpoint=OuterRef("pk"), state=DeliveryState.WAITING
    ).order_by("due_at")
    return WebhookEndpoint.objects.filter(
        ~Exists(waiting[WAITING_MAX - 1 : WAITING_MAX]),
        organization=organization_id,
        is_enabled=True,
        event_types__contains=[type],
    )


def _queue(
    organization: Organization, type: str, data: dict[str, Any], to: list[WebhookEndpoint]
) -> WebhookEvent:
    event = WebhookEvent(
        id=uuid.uuid4(), organization=organization, type=type, created_at=timezone.now()
    )
    event.body = _body(event, data)
    event.save(force_insert=True)
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(endpoint=endpoint, event=event) for endpoint in to
    )
    return event


def _body(event: WebhookEvent, data: dict[str, Any]) -> str:
    envelope = {
        "id": event.wire_id,
        "type": event.type,
        "api_version": API_VERSION,
        "timestamp": moment(event.created_at),
        "organization": event.organization.slug,
        "data": data,
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def moment(at: Any) -> str | None:
    """A time as payloads have it: UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else None
