"""`manage.py make_partitions [YYYY-MM …]`: partitions of months, and what lies in none."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import OperationalError

from billing import partitions
from billing.management import operator


class Command(operator.OperatorCommand):
    help = (
        "Make the partitions of this month and the next three, or of the months named, and move"
        " into them what the default partition has caught."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("months", metavar="YYYY-MM", nargs="*", type=operator.month)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = [name for month in options["months"] for name in partitions.make(month)]
        except OperationalError as error:
            raise CommandError(f"not now, try again: {error}") from None
        if not options["months"]:
            made = partitions.make_ahead()
        now = partitions.state()
        self.answer(
            options,
            {"made": made, "months_ahead": now.ahead, "rows_in_no_month": now.default_rows},
        )
