"""The ledger's tables. Only billing.ledger writes them.

A transfer moves one amount from one account to another, so every row is double entry by
itself. All amounts are nano-units of the platform currency (10^9 nanos = 1 USD).
"""

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization


class AccountKind(models.TextChoices):
    WALLET = "wallet", _("Wallet")
    REVENUE = "revenue", _("Revenue")
    PAYMENTS = "payments", _("Payments received")
    PROMOTIONS = "promotions", _("Promotions given")
    ADJUSTMENTS = "adjustments", _("Adjustments")
    OPERATOR_LOSS = "operator_loss", _("Operator loss")


class Account(models.Model):
    """One side of transfers. A wallet's columns are exact at every commit; a platform account's
    lag behind by the `AccountDelta` rows that a worker has not folded in yet."""

    kind = models.CharField(max_length=16, choices=AccountKind)
    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="wallet"
    )
    debits_pending = models.BigIntegerField(default=0)
    debits_posted = models.BigIntegerField(default=0)
    credits_pending = models.BigIntegerField(default=0)
    credits_posted = models.BigIntegerField(default=0)
    # A wallet's usage of one UTC month, held and charged; of an earlier month than this, it is
    # over. The cap, where there is one, holds every authorization of the month.
    usage_month = models.DateField(null=True, blank=True)
    usage_month_nanos = models.BigIntegerField(default=0, db_default=0)
    usage_cap_month_nanos = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0)]
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="wallet_never_below_zero",
                condition=~Q(kind=AccountKind.WALLET)
                | Q(credits_posted__gte=F("debits_posted") + F("debits_pending")),
            ),
            # A platform account may dip while deltas of parallel commits are folded out of order.
            models.CheckConstraint(
                name="wallet_columns_never_negative",
                condition=~Q(kind=AccountKind.WALLET)
                | Q(
                    debits_pending__gte=0,
                    debits_posted__gte=0,
                    credits_pending__gte=0,
                    credits_posted__gte=0,
                ),
            ),
            models.CheckConstraint(
                name="wallet_has_an_organization",
                condition=Q(kind=AccountKind.WALLET, organization__isnull=False)
                | (~Q(kind=AccountKind.WALLET) & Q(organization__isnull=True)),
            ),
            models.UniqueConstraint(
                name="one_platform_account_of_a_kind",
                fields=["kind"],
                condition=~Q(kind=AccountKind.WALLET),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.organization}" if self.organization_id else self.kind

    @property
    def available_nanos(self) -> int:
        """What can still be spent: posted credits less posted and held debits."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    @property
    def balance_nanos(self) -> int:
        """What the customer owns, holds not deducted."""
        return self.credits_posted - self.debits_posted


class AccountDelta(models.Model):
    """What one commit adds to a platform account: an outbox row instead of a hot account row."""

    kind = models.CharField(max_length=16, choices=AccountKind)
    debits_pending = models.BigIntegerField(default=0)
    debits_posted = models.BigIntegerField(default=0)
    credits_pending = models.BigIntegerField(default=0)
    credits_posted = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.kind} {self.credits_posted - self.debits_posted:+}"


class TransferKind(models.TextChoices):
    USAGE = "usage", _("Usage")
    USAGE_EXCESS = "usage_excess", _("Usage above its hold")
    USAGE_LOSS = "usage_loss", _("Usage nobody pays")
    WELCOME = "welcome", _("Welcome credit")
    TOP_UP = "top_up", _("Top-up")
    CODE = "code", _("Redeemed code")
    REFUND = "refund", _("Refund")
    DISPUTE = "dispute", _("Disputed payment")
    PLAN_FEE = "plan_fee", _("Plan fee")
    PLAN_CREDIT = "plan_credit", _("Included credit")
    CREDIT_NOTE = "credit_note", _("Credit note")
    ADJUSTMENT = "adjustment", _("Adjustment")


class TransferState(models.TextChoices):
    PENDING = "pending", _("Held")
    POSTED = "posted", _("Posted")
    VOIDED = "voided", _("Voided")
    EXPIRED = "expired", _("Expired")


class Transfer(models.Model):
    """An amount moved from `debit_account` to `credit_account`, or held until it is.

    `held_nanos` is what a hold set aside, `amount_nanos` what was posted in the end (zero while
    pending, voided or expired). A database trigger refuses any change of a resolved row.
    The account columns carry no foreign-key constraint: checking it on every insert would lock
    the same few account rows for everybody; `prove_ledger` checks them instead.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    debit_account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, related_name="debits", db_constraint=False
    )
    credit_account = models.ForeignKey(
        Account,
        on_delete=models.DO_NOTHING,
        related_name="credits",
        db_constraint=False,
        db_index=False,
    )
    kind = models.CharField(max_length=16, choices=TransferKind)
    state = models.CharField(max_length=8, choices=TransferState)
    held_nanos = models.BigIntegerField(default=0)
    amount_nanos = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=300, blank=True, db_default="")
    # Which key a hold was made for, so that a crashed request still finds its owner.
    api_key_id = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="transfer_amounts_never_negative",
                condition=Q(held_nanos__gte=0) & Q(amount_nanos__gte=0),
            ),
            models.CheckConstraint(
                name="transfer_amount_only_when_posted",
                condition=Q(state=TransferState.POSTED) | Q(amount_nanos=0),
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                name="transfer_pending_expiry",
                fields=["expires_at"],
                condition=Q(state=TransferState.PENDING),
            ),
            models.Index(
                name="transfer_debit_not_usage",
                fields=["debit_account", "id"],
                condition=~Q(kind=TransferKind.USAGE),
            ),
            models.Index(
                name="transfer_credit_not_revenue",
                fields=["credit_account", "id"],
                condition=~Q(kind=TransferKind.USAGE),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.state} {self.amount_nanos}"


class IdempotencyKey(models.Model):
    """A caller's own name for a transfer (a payment event's id): the second use finds the first."""

    key = models.CharField(primary_key=True, max_length=200)
    transfer_id = models.UUIDField(unique=True)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.key


class StreamProgress(models.Model):
    """What a long request has relayed so far, saved every few seconds.

    If its gateway dies, a worker charges this much and no more. `facts` is the usage record as
    it would be written at this moment.
    """

    transfer_id = models.UUIDField(primary_key=True)
    charge_nanos = models.BigIntegerField()
    facts = models.JSONField()
    saved_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.transfer_id}: {self.charge_nanos}"


class Sweep(models.Model):
    """When a worker last looked for expired holds, and since when one has looked without a gap.
    One row: see `ledger.begin_sweep`."""

    seen_at = models.DateTimeField()
    steady_since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.seen_at}, without a gap since {self.steady_since}"


class KeyBudget(models.Model):
    """What a spend-capped key has spent or holds in the current UTC day and month."""

    api_key_id = models.BigIntegerField(primary_key=True)
    day = models.DateField()
    day_nanos = models.BigIntegerField(default=0)
    month = models.DateField()
    month_nanos = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"key {self.api_key_id}: {self.day_nanos} today"


class ProjectBudget(models.Model):
    """What a project with a budget has spent or holds in the current UTC month."""

    project_id = models.BigIntegerField(primary_key=True)
    month = models.DateField()
    month_nanos = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"project {self.project_id}: {self.month_nanos} this month"
