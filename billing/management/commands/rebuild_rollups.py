"""`manage.py rebuild_rollups`: the hourly and daily sums made anew from the usage records."""

from typing import Any

from django.core.management.base import CommandParser

from billing import rollups
from billing.management import operator


class Command(operator.OperatorCommand):
    help = "Sum every usage record anew, after a restore or whenever in doubt."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--costs", action="store_true", help="only what usage cost upstream: rate it anew"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        records = rollups.rebuild_costs() if options["costs"] else rollups.rebuild()
        self.answer(options, {"records": records})
