"""`manage.py erase_user EMAIL --yes`: a person's data for good, and what is only theirs."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import deletion
from billing import departure
from billing.management import operator


class Command(operator.OperatorCommand):
    help = (
        "Delete a person's account and every trace of who they were; organizations that nobody"
        " else is in are erased too. Without --yes it says what would go."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--yes", action="store_true", help="do it: there is no way back")

    def handle(self, *args: Any, **options: Any) -> None:
        user = operator.find_user(options["email"])
        pk, owned = user.pk, departure.look(user)
        if options["yes"]:
            try:
                departure.depart(user)
            except deletion.StillNeeded:
                needed = ", ".join(one.organization.slug for one in owned if not one.is_closed)
                why = f"its members need another owner: {needed}" if needed else "an operator"
                raise CommandError(f"not erased: {why}") from None
        self.answer(
            options,
            {
                "user": pk,
                "is_erased": options["yes"],
                "organizations_erased": [one.organization.pk for one in owned if one.is_closed],
                "balance_nanos_left": sum(one.balance_nanos for one in owned if one.is_closed),
            },
        )
