"""Invoices: a month closed, in lines that recompute from usage records. Never edited."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import Organization


class Invoice(models.Model):
    """One organization's month. `number` is gapless over the platform."""

    number = models.PositiveIntegerField(unique=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="invoices"
    )
    month = models.DateField()  # its first day, UTC
    total_nanos = models.BigIntegerField()
    finalized_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "month"], name="invoice_month_once")
        ]

    def __str__(self) -> str:
        return f"#{self.number:06d}"


class InvoiceLine(models.Model):
    """What one project used of one model in the month."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    project_name = models.CharField(max_length=100)
    project_id = models.BigIntegerField(default=0)
    model = models.CharField(max_length=100)
    requests = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()

    class Meta:
        ordering: ClassVar = ["invoice", "project_name", "model"]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.project_name} {self.model}"
