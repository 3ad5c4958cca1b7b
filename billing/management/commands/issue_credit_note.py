"""`manage.py issue_credit_note INVOICE AMOUNT --reason WHY`: part of an invoice given back."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import invoice_issue, taxes
from billing.management import operator
from billing.money import format_minor


class Command(operator.OperatorCommand):
    help = "Give an amount of an invoice back to the balance, with a credit note of its own number."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("invoice", help="as it stands on the invoice, or its digits")
        parser.add_argument("amount", help="USD, in whole cents, tax included")
        parser.add_argument("--reason", required=True, help="the customer reads it")

    def handle(self, *args: Any, **options: Any) -> None:
        nanos = operator.read_positive_usd(options["amount"])
        minor, rest = divmod(nanos, taxes.NANOS_PER_MINOR)
        reason = options["reason"].strip()
        if rest or not 0 < len(reason) <= 200:
            raise CommandError("the amount is in whole cents, the reason at most 200 characters")
        invoice = operator.find_invoice(options["invoice"])
        try:
            note = invoice_issue.give_back(invoice, minor, reason)
        except invoice_issue.TooMuch as error:
            left = format_minor(error.left_minor)
            raise CommandError(f"only {left} of {invoice} are not given back yet") from None
        self.answer(
            options,
            {
                "credit_note": str(note),
                "invoice": str(invoice),
                "total_minor": note.total_minor,
                "transfer": str(note.transfer_id),
            },
        )
