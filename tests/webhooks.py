"""Webhook endpoints with a history, for looking at and for tests of pages. Nothing is called."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Organization
from accounts.webhooks import deliveries, endpoints, events
from accounts.webhooks.models import WebhookDelivery, WebhookEndpoint
from accounts.webhooks.transport import Outcome

URL = "https://8.8.8.8/hooks"
TAKEN = Outcome(200, "", '{"received": true}', 184)
REFUSED = Outcome(500, "status", "Traceback (most recent call last): KeyError", 412)
SILENT = Outcome(None, "timeout", "", 15_003)


def endpoint(organization: Organization, url: str = URL, name: str = "") -> WebhookEndpoint:
    return endpoints.create(organization, url, list(events.TYPES), name).row


def answer(organization: Organization, type: str, data: dict[str, Any], *outcomes: Outcome):
    """An event, and one attempt after the other with these outcomes."""
    event = events.emit(organization, type, data)
    assert event is not None
    for delivery in event.deliveries.select_related("event", "endpoint__organization"):
        for outcome in outcomes:
            delivery.attempts += 1
            delivery.tries += 1
            WebhookDelivery.objects.filter(pk=delivery.pk).update(
                attempts=delivery.attempts, tries=delivery.tries
            )
            sent = deliveries.Sent(delivery.attempts, timezone.now(), "v1,K5oZfzN95Z9", outcome)
            deliveries.record(delivery, sent)
    return event


def play_in(organization: Organization) -> dict[str, int]:
    """A busy endpoint and one that was switched off; ids of what pages are about."""
    off = endpoint(organization, "https://hooks.old.example/ttonk", "Old CRM")
    busy = endpoint(organization, "https://billing.acme.example/hooks/ttonk", "Billing board")
    WebhookEndpoint.objects.filter(pk=off.pk).update(is_enabled=False, disabled_because="failing")
    key = {"key": {"id": 7, "name": "Nightly jobs", "masked": "ttonk_sk_3fQa…x8Zp",
                   "project": "Default", "created_by": "alice@example.com"}}  # fmt: skip
    balance = {"balance_nanos": 412_000_000, "balance": "0.412", "threshold_nanos": 500_000_000,
               "threshold": "0.50"}  # fmt: skip
    answer(organization, "key.created", key, TAKEN)
    answer(organization, "plan.changed", {"plan": {"id": "pro", "name": "Pro"}}, TAKEN)
    invoice = {"invoice": {"number": "INV-000012", "total": "45.31"}}
    failed = answer(organization, "invoice.issued", invoice, SILENT, REFUSED, REFUSED)
    WebhookDelivery.objects.filter(event=failed).update(state="failed", due_at=None)
    answer(organization, "key.revoked", key, REFUSED, TAKEN)
    answer(organization, "balance.low", balance, REFUSED, SILENT)
    WebhookEndpoint.objects.filter(pk=busy.pk).update(
        failing_since=timezone.now() - timedelta(hours=3)
    )
    latest = busy.deliveries.latest("pk")
    return {"endpoint": busy.pk, "endpoint_off": off.pk, "delivery": latest.pk,
            "delivery_failed": busy.deliveries.get(event=failed).pk}  # fmt: skip
