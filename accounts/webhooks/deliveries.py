"""Deliveries: claimed by one worker, sent with no transaction open, recorded, tried again.

At least once: a worker that dies between sending and recording has its deliveries sent again,
under the same `webhook-id`, once its claim has run out.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.webhooks import endpoints, letters, signing, transport
from accounts.webhooks.models import (
    DeliveryState,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)

# The wait after each failed attempt; after the last attempt, the delivery has failed. Three days
# together. Each is lengthened by up to a tenth, so that not all come back at once.
WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=8),
    timedelta(hours=16),
    timedelta(hours=22),
    timedelta(hours=24),
)
TRIES_MAX = len(WAITS) + 1
_JITTER = 0.1
ATTEMPTS_MAX = 100  # of one delivery, however often it is asked for again
FAILING_MAX = timedelta(days=letters.FAILING_DAYS)
# An endpoint has so many of a worker's places at most: one that is slow delays its own events.
AT_ONCE_EACH = 4
# Longer than one attempt may take: a worker that is still at it is not overtaken.
CLAIM = timedelta(seconds=60)
_GONE = 410

# Goes from one endpoint with something waiting to the next in the index of what waits: neither
# endpoints that wait for nothing nor the backlog of one that is behind are read.
_CLAIM = """
WITH RECURSIVE busy (endpoint_id) AS (
    (SELECT endpoint_id FROM accounts_webhookdelivery WHERE state = 'waiting'
     ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT endpoint_id FROM accounts_webhookdelivery
            WHERE state = 'waiting' AND endpoint_id > busy.endpoint_id
            ORDER BY endpoint_id LIMIT 1)
    FROM busy WHERE endpoint_id IS NOT NULL
), due AS (
    SELECT one.id FROM busy JOIN accounts_webhookendpoint endpoint ON endpoint.id = endpoint_id
    CROSS JOIN LATERAL (
        SELECT id FROM accounts_webhookdelivery
        WHERE endpoint_id = endpoint.id AND state = 'waiting' AND due_at <= %(now)s
        ORDER BY due_at, id
        LIMIT greatest(0, %(each)s - (
            SELECT count(*) FROM accounts_webhookdelivery
            WHERE endpoint_id = endpoint.id AND claimed_until > %(now)s))
    ) one
    WHERE endpoint.is_enabled AND (endpoint.failing_since IS NOT NULL) = %(failing)s
    ORDER BY random() LIMIT %(limit)s
), mine AS (
    SELECT id FROM accounts_webhookdelivery
    WHERE id IN (SELECT id FROM due) AND state = 'waiting' AND due_at <= %(now)s
    FOR UPDATE SKIP LOCKED
)
UPDATE accounts_webhookdelivery SET claimed_until = %(until)s, due_at = %(until)s,
    tries = tries + 1, attempts = attempts + 1
WHERE id IN (SELECT id FROM mine) RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt, over."""

    number: int
    started_at: datetime
    signature: str
    outcome: transport.Outcome


class NotNow(Exception):
    """The delivery is on its way at this moment, or was tried `ATTEMPTS_MAX` times, or its
    endpoint is off."""


def claim(limit: int, *, failing: bool = False) -> list[WebhookDelivery]:
    """At most `limit` due deliveries that no other worker touches for `CLAIM`, of endpoints whose
    last attempt succeeded, or of the `failing` ones."""
    if limit <= 0:
        return []
    now = timezone.now()
    parameters: dict[str, Any] = {
        "now": now,
        "until": now + CLAIM,
        "each": AT_ONCE_EACH,
        "limit": limit,
        "failing": failing,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, parameters)
        mine = [pk for (pk,) in cursor.fetchall()]
    rows = WebhookDelivery.objects.filter(pk__in=mine)
    return list(rows.select_related("event", "endpoint__organization").order_by("pk"))


def send(delivery: WebhookDelivery) -> Sent:
    """Sign and send it once. Touches no database: it may run in any thread."""
    event, endpoint = delivery.event, delivery.endpoint
    body = event.body.encode()
    # Receivers hold the stamp against their clock, so each attempt has its own.
    started_at = timezone.now()
    stamp = int(started_at.timestamp())
    signature = signing.sign(endpoint.secrets, event.wire_id, stamp, body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": transport.USER_AGENT,
        "webhook-id": event.wire_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": signature,
    }
    return Sent(
        delivery.attempts, started_at, signature, transport.post(endpoint.url, headers, body)
    )


def record(delivery: WebhookDelivery, sent: Sent) -> None:
    """Write down what came of an attempt, and when the next one is due."""
    outcome = sent.outcome
    with transaction.atomic():
        # Whatever an endpoint's attempts lead to, one follows the other.
        locked = WebhookEndpoint.objects.select_for_update(no_key=True).filter(
            pk=delivery.endpoint_id
        )
        rows = WebhookDelivery.objects.select_for_update().filter(pk=delivery.pk)
        endpoint, now = locked.first(), rows.first()
        if endpoint is None or now is None:
            return  # removed meanwhile
        WebhookAttempt.objects.get_or_create(
            delivery=now,
            number=sent.number,
            defaults={
                "started_at": sent.started_at,
                "duration_ms": outcome.duration_ms,
                "status": outcome.status,
                "error": outcome.error,
                "response": outcome.response,
                "signature": sent.signature,
            },
        )
        endpoint.organization = delivery.endpoint.organization
        if outcome.error:
            _failed(now, endpoint, sent)
        else:
            _succeeded(now, endpoint, sent)


def _succeeded(row: WebhookDelivery, endpoint: WebhookEndpoint, sent: Sent) -> None:
    """Whoever has claimed it meanwhile: it is there."""
    row.state, row.due_at, row.claimed_until = DeliveryState.DELIVERED, None, None
    _note(row, sent)
    if endpoint.failing_since is not None:
        endpoint.failing_since = None
        endpoint.save(update_fields=["failing_since"])


def _failed(row: WebhookDelivery, endpoint: WebhookEndpoint, sent: Sent) -> None:
    if row.state != DeliveryState.WAITING or row.attempts != sent.number:
        return  # another worker has taken it over: that one says how it goes on
    is_gone = sent.outcome.status == _GONE
    row.claimed_until = None
    if is_gone or row.tries >= TRIES_MAX or row.attempts >= ATTEMPTS_MAX:
        row.state, row.due_at = DeliveryState.FAILED, None
    else:
        row.due_at = timezone.now() + _wait(row.tries)
    _note(row, sent)
    if endpoint.failing_since is None:
        endpoint.failing_since = sent.started_at
        endpoint.save(update_fields=["failing_since"])
    if is_gone:
        endpoints.give_up(endpoint, "gone")
    elif endpoint.failing_since <= timezone.now() - FAILING_MAX:
        endpoints.give_up(endpoint, "failing")


def _wait(tries: int) -> timedelta:
    return WAITS[tries - 1] * (1 + random.uniform(0, _JITTER))


def _note(row: WebhookDelivery, sent: Sent) -> None:
    row.last_at = sent.started_at
    row.last_status, row.last_error = sent.outcome.status, sent.outcome.error
    row.last_ms = sent.outcome.duration_ms
    row.save()


def again(delivery: WebhookDelivery) -> None:
    """Due now, with the whole schedule before it, under the same `webhook-id`. Raises `NotNow`."""
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    rows = WebhookDelivery.objects.filter(
        free, pk=delivery.pk, attempts__lt=ATTEMPTS_MAX, endpoint__is_enabled=True
    )
    changed = rows.update(state=DeliveryState.WAITING, due_at=now, tries=0, claimed_until=None)
    if not changed:
        raise NotNow
