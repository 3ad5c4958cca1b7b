"""Money that operators move by hand, with who asked for it and who agreed."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User


class AdjustmentState(models.TextChoices):
    WAITING = "waiting", _("Waits for another operator")
    POSTED = "posted", _("Moved")
    REFUSED = "refused", _("Refused")


class AdjustmentRequest(models.Model):
    """A credit (above zero) or a debit (below) of a wallet. Only `billing.adjustments` writes it.

    A small one is posted at once, with nobody to decide; a larger one waits for a second person.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="adjustments"
    )
    amount_nanos = models.BigIntegerField()
    reason = models.CharField(max_length=300)
    state = models.CharField(max_length=8, choices=AdjustmentState, default=AdjustmentState.WAITING)
    # Sent twice, a form moves money once.
    form_id = models.UUIDField(unique=True, editable=False)
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(db_default=Now())
    decided_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    transfer_id = models.UUIDField(null=True, blank=True, unique=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="adjustment_moves_something", condition=~Q(amount_nanos=0)),
            models.CheckConstraint(
                name="adjustment_is_decided_by_another",
                condition=Q(decided_by=None) | ~Q(decided_by=F("asked_by")),
            ),
            models.CheckConstraint(
                name="adjustment_is_posted_with_a_transfer",
                condition=Q(state="posted", transfer_id__isnull=False)
                | (~Q(state="posted") & Q(transfer_id=None)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(name="adjustment_by_operator", fields=["asked_by", "organization"]),
        ]

    def __str__(self) -> str:
        return f"{self.amount_nanos:+} nanos for {self.organization}"
