"""Webhooks as rows: endpoints, what happened, and what was sent where. The rows are the queue."""

import uuid
from typing import ClassVar
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.encryption import EncryptedTextField

URL_CHARS = 500
RESPONSE_CHARS = 1_000  # of an answer's body: what is kept of it


class WebhookEndpoint(models.Model):
    """An address that an organization wants to be told at, and of what."""

    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    url = models.CharField(max_length=URL_CHARS)
    description = models.CharField(max_length=100, blank=True)
    event_types = ArrayField(models.CharField(max_length=40))
    # Shown once. While the old one lives on after a rotation, both sign.
    secret = EncryptedTextField(editable=False)
    old_secret = EncryptedTextField(blank=True, default="", editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    is_enabled = models.BooleanField(default=True)
    # "failing" or "gone" where nobody switched it off but a worker did.
    disabled_because = models.CharField(max_length=10, blank=True, editable=False)
    # Since when every attempt has failed; null after a success.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        """Without the path: what stands there may be a secret of the receiver's."""
        return self.description or self.host

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def signs_twice(self) -> bool:
        return self.old_secret_until is not None and self.old_secret_until > timezone.now()

    @property
    def secrets(self) -> list[str]:
        """What signs now, the newest first."""
        return [self.secret, self.old_secret] if self.signs_twice else [self.secret]


class WebhookEvent(models.Model):
    """One thing that happened, as it is told. A database trigger refuses any change of a row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.CASCADE, related_name="webhook_events"
    )
    type = models.CharField(max_length=40)
    # The JSON as it is sent, byte for byte: every attempt signs and sends the same.
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.type} {self.wire_id}"

    @property
    def wire_id(self) -> str:
        return f"evt_{self.id.hex}"


class DeliveryState(models.TextChoices):
    WAITING = "waiting", _("Queued")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Failed")


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint. Only `accounts.webhooks.deliveries` changes it."""

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    # When the next attempt is due; null once there is none.
    due_at = models.DateTimeField(null=True, default=timezone.now)
    # A worker is at it until then; one that died gives it back at this time.
    claimed_until = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)  # since it was last asked for
    attempts = models.PositiveSmallIntegerField(default=0)  # all of them
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=20, blank=True)
    last_ms = models.PositiveIntegerField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(name="delivery_once", fields=["endpoint", "event"]),
            models.CheckConstraint(
                name="delivery_waits_for_a_time",
                condition=Q(state="waiting", due_at__isnull=False)
                | (~Q(state="waiting") & Q(due_at=None)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(name="delivery_by_endpoint", fields=["endpoint", "-id"]),
            models.Index(
                name="delivery_due",
                fields=["endpoint", "due_at"],
                condition=Q(state="waiting"),
            ),
            models.Index(
                name="delivery_claimed",
                fields=["endpoint", "claimed_until"],
                condition=Q(claimed_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"

    @property
    def is_in_flight(self) -> bool:
        return self.claimed_until is not None and self.claimed_until > timezone.now()


class WebhookAttempt(models.Model):
    """One time an event was sent, and what came of it."""

    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, related_name="log", db_index=False
    )
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=20, blank=True)  # one of `transport.ERRORS`
    response = models.CharField(max_length=RESPONSE_CHARS, blank=True)
    signature = models.CharField(max_length=150)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="attempt_once", fields=["delivery", "number"])
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number}: {self.status or self.error}"
