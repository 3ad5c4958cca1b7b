"""Money coming in from outside: orders, what their providers told of them, and disputes.

Amounts a provider knows are integers of the currency's minor unit (cents); one cent is 10^7 nanos
(see `billing.payments.amounts`). Only the verbs in `billing.payments` write these rows.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, User
from billing.money import NANOS_PER_CENT


class OrderState(models.TextChoices):
    OPEN = "open", _("Not known to the provider yet")
    PENDING = "pending", _("Waiting for the money")
    PAID = "paid", _("Paid")
    FAILED = "failed", _("Failed")
    CANCELED = "canceled", _("Canceled")
    PARKED = "parked", _("For an operator to look at")


class PaymentOrder(models.Model):
    """One top-up: made before its provider hears of it, credited once, when it is paid."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="payment_orders"
    )
    # What the payer and the operator call it; the only name in a URL or on a bank statement.
    reference = models.CharField(max_length=20, unique=True, editable=False)
    provider = models.CharField(max_length=20)
    provider_id = models.CharField(max_length=200, blank=True)
    currency = models.CharField(max_length=3, default="usd")
    amount_minor = models.BigIntegerField()
    # What the provider says it has sent back so far, all refunds together.
    refunded_minor = models.BigIntegerField(default=0)
    # Since when a refund is under way that the provider has not told of: one at a time.
    refund_asked_at = models.DateTimeField(null=True, blank=True)
    # What refunds and disputes took that the wallet no longer had: the operator's loss.
    loss_nanos = models.BigIntegerField(default=0)
    is_automatic = models.BooleanField(default=False)
    saves_method = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=OrderState, default=OrderState.OPEN)
    failure = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    # When a worker last asked the provider about it, or sent it there.
    asked_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    transfer_id = models.UUIDField(null=True, blank=True, unique=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="order_amounts_make_sense",
                condition=Q(amount_minor__gt=0) & Q(refunded_minor__gte=0) & Q(loss_nanos__gte=0),
            ),
            models.CheckConstraint(
                name="order_is_paid_with_a_transfer",
                condition=Q(state="paid", paid_at__isnull=False, transfer_id__isnull=False)
                | (~Q(state="paid") & Q(paid_at=None, transfer_id=None)),
            ),
            models.UniqueConstraint(
                name="order_known_once_to_its_provider",
                fields=["provider", "provider_id"],
                condition=~Q(provider_id=""),
            ),
            # The next automatic top-up waits until this one has ended, however many workers run.
            models.UniqueConstraint(
                name="one_automatic_order_at_a_time",
                fields=["organization"],
                condition=Q(is_automatic=True, state__in=["open", "pending", "parked"]),
            ),
        ]
        indexes: ClassVar = [
            models.Index(name="order_by_organization", fields=["organization", "-id"]),
            models.Index(
                name="order_not_settled",
                fields=["id"],
                condition=Q(state__in=["open", "pending"]),
            ),
            models.Index(name="order_parked", fields=["id"], condition=Q(state="parked")),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def amount_nanos(self) -> int:
        return self.amount_minor * NANOS_PER_CENT

    @property
    def refunded_nanos(self) -> int:
        return self.refunded_minor * NANOS_PER_CENT


class EventState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    PARKED = "parked", _("For an operator to look at")


class PaymentEvent(models.Model):
    """What a provider told, recorded before it is answered. The row is the queue.

    `facts` is the domain event (see `billing.payments.messages`), not the provider's own body:
    no name and no address of a payer is kept.
    """

    provider = models.CharField(max_length=20)
    event_id = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    facts = models.JSONField()
    state = models.CharField(max_length=8, choices=EventState, default=EventState.WAITING)
    note = models.CharField(max_length=300, blank=True)
    order = models.ForeignKey(
        PaymentOrder, on_delete=models.PROTECT, null=True, blank=True, related_name="events"
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    received_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="payment_event_once", fields=["provider", "event_id"])
        ]
        indexes: ClassVar = [
            models.Index(name="payment_event_due", fields=["due_at"], condition=Q(state="waiting")),
            models.Index(name="payment_event_parked", fields=["id"], condition=Q(state="parked")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class DisputeState(models.TextChoices):
    OPEN = "open", _("Open")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


class Dispute(models.Model):
    """A payer's bank has taken a payment back. `wallet_nanos` came out of the wallet, and
    `loss_nanos` is what it no longer had; both go back where the dispute is won."""

    order = models.ForeignKey(PaymentOrder, on_delete=models.PROTECT, related_name="disputes")
    provider = models.CharField(max_length=20)
    provider_id = models.CharField(max_length=200)
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=DisputeState, default=DisputeState.OPEN)
    wallet_nanos = models.BigIntegerField(default=0)
    loss_nanos = models.BigIntegerField(default=0)
    # The organization's `suspended_at` where this dispute set it, and so may take it away.
    suspended_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="dispute_once", fields=["provider", "provider_id"])
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} of {self.order_id}"


class PaymentCustomer(models.Model):
    """Whom a provider knows an organization as: its saved cards hang on this."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="payment_customers"
    )
    provider = models.CharField(max_length=20)
    provider_id = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="customer_once", fields=["organization", "provider"]),
            models.UniqueConstraint(
                name="customer_of_one_organization", fields=["provider", "provider_id"]
            ),
        ]

    def __str__(self) -> str:
        return self.provider_id


class RedeemCode(models.Model):
    """A code that is worth `amount_nanos` once. Only its digest is stored."""

    digest = models.CharField(max_length=64, unique=True, editable=False)  # HMAC-SHA256, hex
    last_four = models.CharField(max_length=4, editable=False)
    batch = models.CharField(max_length=60)
    amount_nanos = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    redeemed_at = models.DateTimeField(null=True, blank=True)
    redeemed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    transfer_id = models.UUIDField(null=True, blank=True, unique=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="code_is_worth_something", condition=Q(amount_nanos__gt=0)),
            models.CheckConstraint(
                name="code_is_redeemed_with_a_transfer",
                condition=Q(redeemed_at=None, transfer_id=None, organization=None)
                | Q(
                    redeemed_at__isnull=False,
                    transfer_id__isnull=False,
                    organization__isnull=False,
                ),
            ),
        ]
        indexes: ClassVar = [models.Index(name="code_by_batch", fields=["batch", "id"])]

    def __str__(self) -> str:
        return f"{self.batch} …{self.last_four}"
