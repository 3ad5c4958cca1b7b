"""`manage.py verify_invoice NUMBER`: an invoice computed again. Exit status 1 if it differs."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from billing import invoices
from billing.management import operator


class Command(operator.OperatorCommand):
    help = "Recompute an invoice from usage records, plan charges, transfers and archives."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="as it stands on the invoice, or its digits")

    def handle(self, *args: Any, **options: Any) -> None:
        invoice = operator.find_invoice(options["number"])
        differences = invoices.verify_invoice(invoice)
        self.answer(
            options,
            {
                "invoice": str(invoice),
                "ok": not differences,
                "lines": invoice.lines.count(),
                "differences": differences,
            },
        )
        if differences:
            sys.exit(1)
