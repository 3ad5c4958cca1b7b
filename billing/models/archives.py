"""What stays of a month whose rows were archived and dropped: the sums that everything else needs.

Written once, in the transaction that drops the month's partitions, so that what is here and what
lies in the tables together are always the whole.
"""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from billing.models.usage import Rollup


class Archive(models.Model):
    """One dropped month: how many rows went, and the files they can be read from again."""

    month = models.DateField(primary_key=True)  # its first day, UTC
    transfers = models.BigIntegerField()
    usage_records = models.BigIntegerField()
    manifest = models.JSONField()
    dropped_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class ArchivedAccount(models.Model):
    """What a dropped month's transfers moved out of and into one account."""

    archive = models.ForeignKey(Archive, on_delete=models.PROTECT, related_name="accounts")
    account_id = models.BigIntegerField()
    debits_posted = models.BigIntegerField()
    credits_posted = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="archived_account_once", fields=["archive", "account_id"])
        ]

    def __str__(self) -> str:
        return f"{self.archive_id}: account {self.account_id}"


class ArchivedUsage(Rollup):
    """What a dropped month's usage records add to an hour's sums and to an invoice's line.

    `paid_nanos` came from wallets, `loss_nanos` is what nobody paid of the charge. `invoice_id`
    is zero where the hour's requests are on no invoice (used after a month was closed early).
    """

    archive = models.ForeignKey(Archive, on_delete=models.PROTECT, related_name="usage")
    hour = models.DateTimeField()
    invoice_id = models.BigIntegerField(default=0)
    paid_nanos = models.BigIntegerField()
    loss_nanos = models.BigIntegerField()

    class Meta:
        indexes: ClassVar = [models.Index(name="archived_usage_by_invoice", fields=["invoice_id"])]

    def __str__(self) -> str:
        return f"{self.archive_id}: {self.organization_id} {self.hour} {self.model}"
