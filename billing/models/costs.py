"""What usage cost upstream, as sums; and the same usage as upstreams count it, by the hour.

Rated by a worker from usage records and the versions of what upstreams charge, never on a
request's path (see billing.costs). `month` is the first day of the month that the records' ids
belong to: what stays here of a month whose records are archived, and no longer recomputes.
"""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models


class CostSums(models.Model):
    """What all three add up. `unrated` requests used tokens that no version has a rate for, so
    their cost is not in `cost_nanos`."""

    month = models.DateField()
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    unrated = models.BigIntegerField(default=0)
    charge_nanos = models.BigIntegerField(default=0)
    cost_nanos = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class ChannelSums(CostSums):
    """By what served the request. `channel_id` is zero where no channel was tried."""

    provider = models.CharField(max_length=40)
    channel_id = models.BigIntegerField(default=0)
    model = models.CharField(max_length=100)
    # Requests whose tokens are known: what an upstream bills.
    metered = models.BigIntegerField(default=0)
    # Reached an upstream, left before the first token: whatever that cost, nobody told.
    untold = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_output_tokens = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class CostDay(ChannelSums):
    """Per UTC day in which the charge was booked, as `UsageDay` counts: revenue, cost, margin."""

    day = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="cost_day_once", fields=["day", "month", "provider", "channel_id", "model"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model} at {self.provider or 'no upstream'}"


class UpstreamHour(ChannelSums):
    """Per UTC hour in which the request began, as an upstream's bill counts."""

    hour = models.DateTimeField()
    # What the channel called the model upstream when this was summed: what a bill names.
    upstream_model = models.CharField(max_length=100)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="upstream_hour_once",
                fields=["provider", "hour", "month", "channel_id", "model", "upstream_model"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour} {self.model} at {self.provider or 'no upstream'}"


class OrganizationDay(CostSums):
    """Per organization and UTC day in which the charge was booked."""

    organization_id = models.BigIntegerField()
    day = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="organization_day_once", fields=["organization_id", "day", "month"]
            )
        ]
        indexes: ClassVar = [
            BrinIndex(name="organization_day_by_day", fields=["day"], autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.day}"
