"""What organizations get from billing: a wallet, a plan and what it allows, a welcome credit."""

from typing import Any

from django.conf import settings
from django.dispatch import receiver

from accounts import allowances
from accounts.allowances import Allowance
from accounts.models import Organization
from accounts.organizations import organization_created
from billing import ledger
from billing.models import Plan, Subscription, TransferKind


@allowances.read_from
def read_allowance(organization: Organization) -> Allowance:
    """What its plan allows now."""
    plan = Plan.objects.get(subscriptions__organization=organization)
    return Allowance(members_max=plan.members_max, projects_max=plan.projects_max)


@receiver(organization_created)
def open_wallet(organization: Organization, options: dict[str, Any], **_: Any) -> None:
    """Runs inside the transaction that creates the organization.

    Options: `plan` (slug, the default plan without it), `credit_nanos` (the configured welcome
    credit without it) .
    """
    wallet = ledger.open_wallet(organization)
    plan = Plan.objects.get(slug=options.get("plan") or settings.DEFAULT_PLAN)
    # Who is given a plan by name is an operator's choice, as by `set_plan`: its fee is waived.
    is_given = bool(options.get("plan")) and plan.fee_nanos_per_month > 0
    Subscription.objects.create(organization=organization, plan=plan, is_fee_waived=is_given)
    credit_nanos = options.get("credit_nanos", settings.WELCOME_CREDIT_NANOS)
    if credit_nanos:
        ledger.credit(wallet, credit_nanos, kind=TransferKind.WELCOME, reason="Welcome credit")
