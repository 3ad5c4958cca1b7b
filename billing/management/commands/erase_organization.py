"""`manage.py erase_organization ORGANIZATION --yes`: closed for good, and nobody's any more."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import closing, erasure, ledger
from billing.management import operator
from billing.money import format_usd


class Command(operator.OperatorCommand):
    help = (
        "Delete an organization and take out of its records whose it was; the ledger, usage and"
        " issued invoices stay. Without --yes it says what would go."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")
        parser.add_argument("--yes", action="store_true", help="do it: there is no way back")
        parser.add_argument(
            "--leave-balance", action="store_true", help="also where there is money left in it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        organization = operator.find_organization(options["organization"])
        balance_nanos = ledger.open_wallet(organization).balance_nanos
        if options["yes"]:
            try:
                erasure.erase(organization, leaves_balance=options["leave_balance"])
            except closing.FundsLeft as error:
                left = format_usd(error.balance_nanos)
                raise CommandError(
                    f"not erased: {left} USD are left in it; pay them back, or --leave-balance"
                ) from None
        self.answer(
            options,
            {
                "organization": organization.pk,
                "is_erased": organization.erased_at is not None,
                "balance_nanos_left": balance_nanos,
                "members": organization.memberships.count(),
                "keys": organization.api_keys.live().count(),
            },
        )
