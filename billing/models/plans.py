"""Plans, which organization is on which, and what was charged for it."""

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization


class PlanQuerySet(models.QuerySet["Plan"]):
    def offered_to(self, organization: Organization) -> "PlanQuerySet":
        """What the organization may choose by itself: public plans, and its own custom ones."""
        return self.filter(Q(is_public=True, organization=None) | Q(organization=organization))


class Plan(models.Model):
    """What an organization may do, and what the month costs.

    A null limit is unlimited: a value of its own, never a large number.
    """

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    fee_nanos_per_month = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    # Given to the balance with each fee, and never above it; it does not expire.
    included_credit_nanos = models.BigIntegerField(
        default=0, db_default=0, validators=[MinValueValidator(0)]
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    # Parts per million of the list price: 1,000,000 is the list price itself.
    markup_ppm = models.PositiveIntegerField(default=1_000_000)
    body_bytes_max = models.PositiveIntegerField(default=4 * 1024 * 1024)
    projects_max = models.PositiveIntegerField(null=True, blank=True)
    members_max = models.PositiveIntegerField(null=True, blank=True)
    # Days without a fee, once per organization; zero is no trial.
    trial_days = models.PositiveSmallIntegerField(default=0, db_default=0)
    is_public = models.BooleanField(default=True)
    # A custom plan is this organization's alone, whatever `is_public` says.
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="custom_plans"
    )
    position = models.PositiveSmallIntegerField(default=100)

    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["position", "slug"]
        constraints: ClassVar = [
            # So that no invoice of fees and credits is ever below zero.
            models.CheckConstraint(
                name="plan_credit_within_its_fee",
                condition=Q(
                    included_credit_nanos__gte=0,
                    included_credit_nanos__lte=F("fee_nanos_per_month"),
                ),
            )
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """An organization's choice of one plan, and where it stands in paying for it.

    Only `billing.subscriptions` and `billing.renewals` write what is below `started_at`.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="subscription"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    # Overrides the plan's markup for this organization; null takes the plan's.
    markup_ppm = models.PositiveIntegerField(null=True, blank=True)
    # When a gateway last refused a request because of the wallet's cap on the month, and when that
    # was mailed; `billing.spend_caps` says how they go together.
    cap_reached_at = models.DateTimeField(null=True, blank=True)
    cap_mailed_at = models.DateTimeField(null=True, blank=True)
    # When the low-balance mail went out; cleared once the balance is above the threshold again.
    low_balance_mailed_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    # When a worker has to look next: a month's end, a trial's end, another try. Null: never.
    due_at = models.DateTimeField(null=True, blank=True)
    # What a whole month costs at the rate this one has been paid at; zero: nothing is paid.
    paid_nanos_per_month = models.BigIntegerField(default=0, db_default=0)
    # The operator's gift: this plan costs this organization nothing.
    is_fee_waived = models.BooleanField(default=False, db_default=False)
    # Takes the plan's place at the month's end.
    next_plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    trial_started_at = models.DateTimeField(null=True, blank=True)  # ever, on any plan
    trial_ends_at = models.DateTimeField(null=True, blank=True)
    # The first day of a month whose fee the balance could not pay, and how often it was tried.
    owed_from = models.DateField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                name="subscription_due", fields=["due_at"], condition=Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization} on {self.plan}"


class PlanChargeKind(models.TextChoices):
    FEE = "fee", _("Plan fee")
    CREDIT = "credit", _("Included credit")


class PlanCharge(models.Model):
    """What one transfer of a fee or of included credit was for. Never edited (database trigger):
    it says so on invoices when the transfer itself is archived."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="plan_charges"
    )
    kind = models.CharField(max_length=8, choices=PlanChargeKind)
    plan_name = models.CharField(max_length=60)
    first_day = models.DateField()
    last_day = models.DateField()
    amount_nanos = models.BigIntegerField()  # above zero, for a credit too
    transfer_id = models.UUIDField(unique=True)
    charged_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="plan_charge_is_above_zero", condition=Q(amount_nanos__gt=0)
            )
        ]
        indexes: ClassVar = [
            models.Index(name="plan_charge_by_time", fields=["charged_at", "organization"])
        ]

    def __str__(self) -> str:
        return f"{self.plan_name} {self.kind} {self.first_day} to {self.last_day}"
