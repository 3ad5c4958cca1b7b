"""`manage.py resolve_payment NAME retry|dismiss`: what was parked for an operator."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q

from billing.management import operator
from billing.models import EventState, OrderState, PaymentEvent, PaymentOrder
from billing.payments import events, orders


class Command(operator.OperatorCommand):
    help = (
        "Decide on a parked payment: an event by its id (retry it, or dismiss it as dealt with), or"
        " an automatic order by its reference (dismiss: it was never charged)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="an event's id, or an order's reference")
        parser.add_argument("decision", choices=["retry", "dismiss"])

    def handle(self, *args: Any, **options: Any) -> None:
        name, decision = options["name"], options["decision"]
        order = PaymentOrder.objects.filter(reference=name, state=OrderState.PARKED).first()
        event = _find_event(name)
        if order is not None:
            if decision == "retry":
                raise CommandError(
                    "a charge is not asked for again: its provider may have forgotten the first"
                )
            orders.give_up(order)
        elif event is None:
            raise CommandError(f"nothing parked is called {name!r}")
        elif decision == "retry":
            events.retry(event)
        else:
            events.dismiss(event)
        (order or event).refresh_from_db()  # type: ignore[union-attr]
        facts = {"name": name, "state": (order or event).state}  # type: ignore[union-attr]
        self.answer(options, facts | {"note": event.note if event else None})


def _find_event(name: str) -> PaymentEvent | None:
    wanted = Q(event_id=name)
    if name.isascii() and name.isdigit() and len(name) < 18:
        wanted |= Q(pk=int(name))
    return PaymentEvent.objects.filter(wanted, state=EventState.PARKED).first()
