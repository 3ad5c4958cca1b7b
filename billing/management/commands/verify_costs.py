"""`manage.py verify_costs`: what usage cost upstream, recomputed. Exit status 1 if it differs."""

import sys
from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from billing import cost_proof, partitions
from billing.management import operator

_SHOWN_MAX = 20


class Command(operator.OperatorCommand):
    help = "Rate every usage record again, and compare with the sums of cost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=_day, help="only this day's (2026-11-28)")
        parser.add_argument("--month", type=operator.month, help="only this month's and later")

    def handle(self, *args: Any, **options: Any) -> None:
        day, first = options["day"], options["month"] or date(1970, 1, 1)
        if day:
            # A record of the day may have begun in the month before.
            first = partitions.after(day.replace(day=1), -1)
        with transaction.atomic():
            months = [
                month for month in cost_proof.months(first) if not day or month <= day
            ]  # fmt: skip
            wrong = [one for month in months for one in cost_proof.differences(month, day)]
        self.answer(
            options,
            {
                "ok": not wrong,
                "months": [f"{month:%Y-%m}" for month in months],
                "day": day.isoformat() if day else None,
                "differences": len(wrong),
                "first": [f"{what}: {why}" for what, why in wrong[:_SHOWN_MAX]],
            },
        )
        if wrong:
            sys.exit(1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no day; write it like 2026-11-28") from None
