"""`manage.py rebuild_rollups`: the hourly and daily sums made anew from the usage records."""

from typing import Any

from billing import rollups
from billing.management import operator


class Command(operator.OperatorCommand):
    help = "Sum every usage record anew, after a restore or whenever in doubt."

    def handle(self, *args: Any, **options: Any) -> None:
        self.answer(options, {"records": rollups.rebuild()})
