"""What upstreams bill: files as they were imported, and how far their days agree with our usage."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class BillFormat(models.TextChoices):
    DEEPSEEK = "deepseek", _("DeepSeek usage export")
    DASHSCOPE = "dashscope", _("Alibaba Cloud bill")
    PLAIN = "plain", _("Plain table")


class UpstreamBill(models.Model):
    """One file of a provider's. The same file is one bill, however often it is imported; another
    for the same days replaces it only where that was asked for."""

    provider = models.CharField(max_length=40)  # its slug
    # The name of the channels it is for, where a provider has several accounts; empty is all.
    account = models.CharField(max_length=100, blank=True)
    format = models.CharField(max_length=12, choices=BillFormat)
    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveIntegerField()
    rows = models.PositiveIntegerField()
    rows_skipped = models.PositiveIntegerField(default=0)  # of other products
    first_day = models.DateField()
    last_day = models.DateField()
    # Its days begin at midnight of this zone.
    utc_offset_hours = models.SmallIntegerField(default=0)
    currency = models.CharField(max_length=3)
    nanos_per_unit = models.BigIntegerField()  # USD for one unit of its currency
    # What a unit of the last decimal it prints is worth: no closer can it agree.
    cost_step_nanos = models.BigIntegerField(default=0)
    has_usage = models.BooleanField()  # requests or tokens
    has_cost = models.BooleanField()
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    imported_at = models.DateTimeField(db_default=Now())
    superseded_by = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="supersedes"
    )
    evaluated_at = models.DateTimeField(null=True, blank=True)
    alarmed_at = models.DateTimeField(null=True, blank=True)
    # An operator knows why it drifts: it alarms nobody any more.
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "sha256"], name="upstream_bill_once")
        ]

    def __str__(self) -> str:
        days = f"{self.first_day} to {self.last_day}"
        return f"{self.provider}{f' ({self.account})' if self.account else ''}, {days}"


class UpstreamBillLine(models.Model):
    """What the file says of one day, model and key. Null is what it says nothing about."""

    bill = models.ForeignKey(UpstreamBill, on_delete=models.PROTECT, related_name="lines")
    first_row = models.PositiveIntegerField()  # of the file, its header being the first
    rows = models.PositiveIntegerField()
    day = models.DateField()
    model = models.CharField(max_length=100)  # as the provider calls it
    key = models.CharField(max_length=100, blank=True)  # the provider's name of a credential
    requests = models.BigIntegerField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    cached_input_tokens = models.BigIntegerField(null=True)
    cache_write_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    reasoning_output_tokens = models.BigIntegerField(null=True)
    cost_nanos = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["bill", "day", "model", "key"], name="upstream_bill_line_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class DayState(models.TextChoices):
    MATCHED = "matched", _("Reconciled")
    DRIFT = "drift", _("Drifts")
    MISSING_HERE = "missing_here", _("Missing here")
    MISSING_THERE = "missing_there", _("Missing there")


class ReconciledDay(models.Model):
    """One day and model of a bill beside our own usage. Made anew whenever the bill is compared."""

    bill = models.ForeignKey(UpstreamBill, on_delete=models.PROTECT, related_name="days")
    day = models.DateField()
    model = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=DayState)
    is_open = models.BooleanField()  # late records may still settle
    is_alarming = models.BooleanField()
    # By class ("requests", "input_tokens", …): what we have and what the bill says, where it does.
    here = models.JSONField()
    there = models.JSONField()
    cost_here_nanos = models.BigIntegerField()
    cost_there_nanos = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["bill", "day", "model"], name="reconciled_day_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}: {self.state}"
