"""Usage: one record per request that was authorized, and what the pages read: rollups."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class BillingReason(models.TextChoices):
    """How a request ended, which decides what it costs (the table is in the docs)."""

    COMPLETED = "completed", _("Completed, usage reported by the provider")
    COMPLETED_ESTIMATED = "completed_estimated", _("Completed, tokens counted by us")
    CLIENT_GONE_EARLY = "client_gone_early", _("You disconnected before the first token")
    CLIENT_GONE = "client_gone", _("You disconnected mid-answer")
    UPSTREAM_FAILED = "upstream_failed", _("The provider failed before the first token")
    UPSTREAM_DIED = "upstream_died", _("The provider failed mid-answer")
    GATEWAY_LOST = "gateway_lost", _("Our gateway stopped mid-answer")


class UsageRecord(models.Model):
    """What one request consumed, priced: the line a customer can check.

    The id is the request's and its transfer's. Token classes are disjoint: the prompt is the sum
    of the three input classes, the completion the sum of the two output classes. Rows are only
    ever inserted. References carry no constraint, as in `Transfer`, and for the same reason.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField(null=True)
    api_key_id = models.BigIntegerField(null=True)
    model = models.CharField(max_length=100)
    provider = models.CharField(max_length=40)
    channel_id = models.BigIntegerField(null=True)
    price_id = models.BigIntegerField(null=True)
    markup_ppm = models.IntegerField()
    input_tokens = models.BigIntegerField()
    cached_input_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_output_tokens = models.BigIntegerField()
    charge_nanos = models.BigIntegerField()
    billing_reason = models.CharField(max_length=20, choices=BillingReason)
    is_estimated = models.BooleanField()
    is_stream = models.BooleanField()
    status = models.SmallIntegerField()  # the HTTP status the client was answered with
    error_code = models.CharField(max_length=60)
    attempts = models.SmallIntegerField()
    first_token_ms = models.IntegerField(null=True)
    duration_ms = models.IntegerField()
    started_at = models.DateTimeField()
    charged_at = models.DateTimeField(db_default=Now())
    # The database transaction that inserted the row: what lets the rollup take each row exactly
    # once, whatever order transactions commit in (see billing.rollups).
    xid = models.BigIntegerField()

    class Meta:
        indexes: ClassVar = [
            models.Index(name="usage_by_organization", fields=["organization_id", "-id"]),
            BrinIndex(name="usage_by_xid", fields=["xid"], autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.model} {self.charge_nanos}"

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def completion_tokens(self) -> int:
        return self.output_tokens + self.reasoning_output_tokens


class Rollup(models.Model):
    """The key and the sums that hours, days and archives have in common."""

    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField(default=0)
    api_key_id = models.BigIntegerField(default=0)
    model = models.CharField(max_length=100)
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_output_tokens = models.BigIntegerField(default=0)
    charge_nanos = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageHour(Rollup):
    """Sums per organization, project, key, model and UTC hour in which the charge was booked."""

    hour = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="usage_hour_once",
                fields=["organization_id", "hour", "project_id", "api_key_id", "model"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.hour} {self.model}"


class UsageDay(Rollup):
    """The same per UTC day."""

    day = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="usage_day_once",
                fields=["organization_id", "day", "project_id", "api_key_id", "model"],
            )
        ]
        # Of all organizations: days are written in order, so a block range tells what to skip.
        indexes: ClassVar = [
            BrinIndex(name="usage_day_by_day", fields=["day"], autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.day} {self.model}"


class Measure(models.TextChoices):
    """What `ModelHour` counts."""

    SERVED = "served", _("Answered")
    FAILED = "failed", _("Failed")
    FIRST_TOKEN = "first_token", _("Time to first token")  # buckets of milliseconds
    SPEED = "speed", _("Speed")  # buckets of tokens per second


class ModelHour(models.Model):
    """How many requests of a model, of all organizations, fell into a bucket in a UTC hour."""

    model = models.CharField(max_length=100)
    hour = models.DateTimeField()
    measure = models.CharField(max_length=12, choices=Measure)
    bucket = models.SmallIntegerField()
    requests = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="model_hour_once", fields=["model", "hour", "measure", "bucket"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.hour} {self.measure}"


class LatencyDay(models.Model):
    """How many of an organization's streams had their first token within a bucket of
    milliseconds, on a UTC day (see billing.latency)."""

    organization_id = models.BigIntegerField()
    day = models.DateField()
    bucket = models.SmallIntegerField()
    requests = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="latency_day_once", fields=["organization_id", "day", "bucket"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.day}"


class RollupWatermark(models.Model):
    """Rows of transactions below `xid` are in the rollups; one row, locked while rolling up."""

    xid = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.xid)
