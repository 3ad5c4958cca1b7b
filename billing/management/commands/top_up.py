"""`manage.py top_up ORGANIZATION AMOUNT --reason …`: money received, into the wallet."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import ledger, money
from billing.management import operator
from billing.models import TransferKind


class Command(operator.OperatorCommand):
    help = "Credit an organization's wallet with money received."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")
        parser.add_argument("amount", metavar="USD", help="such as 25 or 0.50")
        parser.add_argument("--reason", required=True, help="stands in the organization's history")
        parser.add_argument(
            "--idempotency-key", help="the payment's own name: the second use credits nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        organization = operator.find_organization(options["organization"])
        amount_nanos = operator.read_positive_usd(options["amount"])
        if not options["reason"].strip():
            raise CommandError("a reason says why; it cannot be empty")
        wallet = ledger.open_wallet(organization)
        try:
            transfer = ledger.credit(
                wallet,
                amount_nanos,
                kind=TransferKind.TOP_UP,
                reason=options["reason"].strip(),
                idempotency_key=options["idempotency_key"],
            )
        except ledger.AlreadyArchived as error:
            raise CommandError(f"credited before, in a month since archived: {error}") from None
        wallet.refresh_from_db()
        self.answer(
            options,
            {
                "organization": organization.slug,
                "transfer": str(transfer.pk),
                "amount_usd": money.format_usd(transfer.amount_nanos),
                "amount_nanos": transfer.amount_nanos,
                "balance_usd": money.format_usd(wallet.balance_nanos),
                "balance_nanos": wallet.balance_nanos,
            },
        )
