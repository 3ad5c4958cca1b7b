"""Which plan an organization is on, and what changing it costs."""

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Organization, User
from billing import ledger
from billing.models import Plan, Subscription, TransferKind


def change_plan(
    organization: Organization, plan: Plan, *, by: User | None = None, charge_fee: bool = True
) -> Subscription:
    """Put the organization on `plan` at once; gateways learn of it when this commits.

    A dearer plan costs its full monthly fee at the change, once per plan and UTC month however
    often the plan is changed to and fro. A cheaper one costs nothing and refunds nothing.
    `charge_fee=False` is the operator's change: free either way. Raises
    `ledger.InsufficientFunds`, and then nothing has changed.
    """
    with transaction.atomic():
        subscription = (
            Subscription.objects.select_for_update(of=("self",))
            .select_related("plan")
            .get(organization=organization)
        )
        if subscription.plan_id == plan.pk:
            return subscription
        before = subscription.plan
        if charge_fee and plan.fee_nanos_per_month > before.fee_nanos_per_month:
            _charge_fee(organization, plan, by)
        subscription.plan = plan
        subscription.started_at = timezone.now()
        subscription.save(update_fields=["plan", "started_at"])
        audit.record("plan.changed", organization, plan.name, before=before.name)
    return subscription


def _charge_fee(organization: Organization, plan: Plan, by: User | None) -> None:
    month = timezone.now().strftime("%Y-%m")
    ledger.debit(
        ledger.open_wallet(organization),
        plan.fee_nanos_per_month,
        kind=TransferKind.PLAN_FEE,
        reason=f"{plan.name} plan, {month}" + (f", chosen by {by.email}" if by else ""),
        idempotency_key=f"plan_fee:{organization.pk}:{plan.pk}:{month}",
    )
