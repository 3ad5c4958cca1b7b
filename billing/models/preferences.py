"""What an organization chose about its money: automatic top-up, alerts, and whom invoices name."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Organization
from billing import countries
from billing.money import NANOS_PER_CENT


class AutoTopUp(models.Model):
    """Below `threshold_nanos`, charge the saved card `amount_minor` cents, but no more than
    `cap_minor` cents in a UTC month. After a failure it waits, and in the end switches off."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="auto_top_up"
    )
    is_on = models.BooleanField(default=False)
    threshold_nanos = models.BigIntegerField()
    amount_minor = models.BigIntegerField()
    cap_minor = models.BigIntegerField()
    provider = models.CharField(max_length=20)
    method_id = models.CharField(max_length=200)
    method_label = models.CharField(max_length=60)
    failures = models.PositiveSmallIntegerField(default=0)
    waits_until = models.DateTimeField(null=True, blank=True)
    # The month in which the owner was told that the cap is reached.
    capped_month = models.DateField(null=True, blank=True)
    stopped_because = models.CharField(max_length=300, blank=True)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="auto_top_up_makes_sense",
                condition=Q(threshold_nanos__gte=0, amount_minor__gt=0)
                & Q(cap_minor__gte=models.F("amount_minor")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.amount_minor} below {self.threshold_nanos}"

    @property
    def amount_nanos(self) -> int:
        return self.amount_minor * NANOS_PER_CENT

    @property
    def cap_nanos(self) -> int:
        return self.cap_minor * NANOS_PER_CENT


class SpendAlert(models.Model):
    """One mail a UTC month, once the month's usage has reached `threshold_nanos`."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="spend_alerts"
    )
    threshold_nanos = models.BigIntegerField()
    mailed_month = models.DateField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["threshold_nanos"]
        constraints: ClassVar = [
            models.UniqueConstraint(name="alert_once", fields=["organization", "threshold_nanos"]),
            models.CheckConstraint(name="alert_is_above_zero", condition=Q(threshold_nanos__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.threshold_nanos}"


class BillingDetails(models.Model):
    """Whom invoices are made out to, as the customer states it."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="billing_details"
    )
    company = models.CharField(max_length=120, blank=True)
    line_1 = models.CharField(max_length=120, blank=True)
    line_2 = models.CharField(max_length=120, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=80, blank=True)
    region = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=2, blank=True)  # ISO 3166-1 alpha-2
    vat_id = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return self.company or f"organization {self.organization_id}"

    @property
    def lines(self) -> list[str]:
        """The address as it stands on an envelope, without the company."""
        place = " ".join(part for part in (self.postal_code, self.city) if part)
        lines = [self.line_1, self.line_2, place, self.region, countries.name(self.country)]
        return [line for line in lines if line]
