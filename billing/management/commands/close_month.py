"""`manage.py close_month YYYY-MM`: invoices for a month that is over."""

import re
from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import invoices, money
from billing.management import operator

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class Command(operator.OperatorCommand):
    help = "Invoice everybody who used anything in the month and has no invoice for it yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("month", metavar="YYYY-MM")
        parser.add_argument("--organization", help="only this one: slug, id or name")
        parser.add_argument(
            "--allow-current",
            action="store_true",
            help="close a running month as of now; what is used in the rest of it is not invoiced",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        parts = _MONTH.fullmatch(options["month"])
        if parts is None or parts[1] < "2000":
            raise CommandError(f"{options['month']!r} is no month; write it like 2026-11")
        name = options["organization"]
        try:
            closing = invoices.close_month(
                date(int(parts[1]), int(parts[2]), 1),
                operator.find_organization(name) if name else None,
                allow_current=options["allow_current"],
            )
        except invoices.MonthNotOver as error:
            raise CommandError(str(error)) from None
        if closing.refused_organizations:
            self.stderr.write(
                "not invoiced, because ledger and usage records differ (run prove_ledger):"
                f" organizations {closing.refused_organizations}"
            )
        self.answer(
            options,
            {
                "month": options["month"],
                "invoices": [
                    {
                        "number": invoice.number,
                        "invoice": str(invoice),
                        "organization": invoice.organization.slug,
                        "total_usd": money.format_usd(invoice.total_nanos),
                        "total_nanos": invoice.total_nanos,
                    }
                    for invoice in closing.invoices
                ],
                "refused_organizations": closing.refused_organizations,
            },
        )
