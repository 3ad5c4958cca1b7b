"""`manage.py refund_payment REFERENCE AMOUNT`: send a top-up, or a part of it, back."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.management import operator
from billing.management.commands.confirm_payment import find_order, read_cents
from billing.payments import gateways, orders
from billing.payments.gateway import Declined, Unavailable


class Command(operator.OperatorCommand):
    help = "Send a payment back through its provider (by bank: say that you have)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("reference", help="such as TT-7GQ4-M2XD")
        parser.add_argument("amount", metavar="USD", help="such as 25 or 0.50")
        parser.add_argument(
            "--beyond-balance",
            action="store_true",
            help="also what the balance no longer has: that is your loss",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        order = find_order(options["reference"])
        cents = read_cents(options["amount"])
        try:
            orders.refund(order, cents, beyond_balance=options["beyond_balance"])
        except (orders.NotRefundable, Unavailable, Declined) as error:
            raise CommandError(f"not refunded: {error}") from None
        except gateways.NotConfigured as error:
            raise CommandError(f"the provider {error} is not configured") from None
        order.refresh_from_db()
        self.answer(
            options,
            {
                "order": order.reference,
                "asked_cents": cents,
                "refunded_cents": order.refunded_minor,
                "loss_nanos": order.loss_nanos,
            },
        )
