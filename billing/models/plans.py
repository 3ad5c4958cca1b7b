"""Plans, and which organization is on which."""

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from accounts.models import Organization


class Plan(models.Model):
    """What an organization may do per minute, and what the month costs.

    A null limit is unlimited: a value of its own, never a large number.
    """

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    fee_nanos_per_month = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    # Parts per million of the list price: 1,000,000 is the list price itself.
    markup_ppm = models.PositiveIntegerField(default=1_000_000)
    body_bytes_max = models.PositiveIntegerField(default=4 * 1024 * 1024)
    is_public = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=100)

    class Meta:
        ordering: ClassVar = ["position", "slug"]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """An organization's choice of one plan."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="subscription"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    # Overrides the plan's markup for this organization; null takes the plan's.
    markup_ppm = models.PositiveIntegerField(null=True, blank=True)
    # For a cap on a UTC month's usage. Nothing sets it, and nothing holds it yet.
    spend_cap_month_nanos = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0)]
    )
    started_at = models.DateTimeField(default=timezone.now)
    # When the low-balance mail went out; cleared once the balance is above the threshold again.
    low_balance_mailed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.organization} on {self.plan}"
