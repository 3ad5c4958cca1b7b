"""`manage.py confirm_payment REFERENCE AMOUNT --statement ID`: a bank transfer has arrived."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import money
from billing.management import operator
from billing.models import EventState, PaymentOrder
from billing.payments import amounts, orders


class Command(operator.OperatorCommand):
    help = "Credit a top-up by bank transfer, once its money is on the operator's account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("reference", help="as the payer wrote it, such as TT-7GQ4-M2XD")
        parser.add_argument("amount", metavar="USD", help="what arrived, such as 250")
        parser.add_argument(
            "--statement", required=True, help="the bank's own name for the entry; counts once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        order = find_order(options["reference"])
        if order.provider != "bank":
            raise CommandError(f"{order} is paid through {order.provider}, which tells by itself")
        if not options["statement"].strip():
            raise CommandError("the statement's entry has a name")
        event = orders.confirm(
            order, read_cents(options["amount"]), statement_id=options["statement"].strip()
        )
        if event.state != EventState.DONE:
            raise CommandError(f"not credited: {event.note}")
        if event.order_id != order.pk:
            raise CommandError(f"this entry of the statement has paid {event.order} already")
        order.refresh_from_db()
        wallet = order.organization.wallet
        self.answer(
            options,
            {
                "order": order.reference,
                "organization": order.organization.slug,
                "amount_usd": money.format_usd(amounts.nanos(order.amount_minor)),
                "transfer": str(order.transfer_id),
                "balance_usd": money.format_usd(wallet.balance_nanos),
            },
        )


def find_order(reference: str) -> PaymentOrder:
    """Raises CommandError."""
    orders_by_reference = PaymentOrder.objects.select_related("organization__wallet")
    found = orders_by_reference.filter(reference=reference.strip().upper()).first()
    if found is None:
        raise CommandError(f"there is no order {reference!r}")
    return found


def read_cents(text: str) -> int:
    """Raises CommandError for what is no whole number of cents above zero."""
    try:
        return amounts.minor(operator.read_positive_usd(text))
    except ValueError as error:
        raise CommandError(str(error)) from None
