"""`manage.py set_plan ORGANIZATION PLAN`: an operator's change of plan, free unless asked."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import ledger, money, subscriptions
from billing.management import operator
from billing.models import Subscription


class Command(operator.OperatorCommand):
    help = "Put an organization on a plan. Nothing is charged unless --charge-fee says so."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")
        parser.add_argument("plan")
        fee = parser.add_mutually_exclusive_group()
        fee.add_argument("--charge-fee", action="store_true", help="charge a dearer plan's fee")
        fee.add_argument("--no-fee", action="store_false", dest="charge_fee", help="the default")
        parser.set_defaults(charge_fee=False)

    def handle(self, *args: Any, **options: Any) -> None:
        organization = operator.find_organization(options["organization"])
        plan = operator.find_plan(options["plan"])
        try:
            subscription = subscriptions.change_plan(
                organization, plan, charge_fee=options["charge_fee"]
            )
        except ledger.InsufficientFunds as error:
            raise CommandError(
                f"the fee is {money.format_usd(error.needed_nanos)} USD, and only"
                f" {money.format_usd(error.available_nanos)} USD are available"
            ) from None
        except Subscription.DoesNotExist:
            raise CommandError(f"{organization.slug} has no subscription") from None
        self.answer(
            options,
            {
                "organization": organization.slug,
                "plan": subscription.plan.slug,
                "requests_per_minute": subscription.plan.requests_per_minute,
                "tokens_per_minute": subscription.plan.tokens_per_minute,
            },
        )
