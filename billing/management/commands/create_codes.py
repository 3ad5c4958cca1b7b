"""`manage.py create_codes AMOUNT COUNT --batch NAME`: redeem codes, shown this once."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from billing import money
from billing.management import operator
from billing.payments import codes


class Command(operator.OperatorCommand):
    help = "Make codes that customers redeem for balance. They are shown once and stored hashed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("amount", metavar="USD", help="what each is worth, such as 25 or 0.50")
        parser.add_argument("count", type=operator.positive_integer, help=f"≤ {codes.COUNT_MAX}")
        parser.add_argument("--batch", required=True, help="what they are for, such as launch-2026")
        parser.add_argument("--expires", metavar="DATE", help="last day, UTC, such as 2026-12-31")

    def handle(self, *args: Any, **options: Any) -> None:
        amount_nanos = operator.read_positive_usd(options["amount"])
        batch = options["batch"].strip()
        if not batch:
            raise CommandError("a batch has a name")
        expires_at = _end_of_day(options["expires"])
        try:
            made = codes.create(options["count"], amount_nanos, batch=batch, expires_at=expires_at)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.answer(
            options,
            {
                "batch": batch,
                "amount_usd": money.format_usd(amount_nanos),
                "amount_nanos": amount_nanos,
                "expires_at": expires_at.isoformat() if expires_at else None,
                "codes": list(made) if options["json"] else "\n" + "\n".join(made),
            },
        )


def _end_of_day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise CommandError(f"{text!r} is no date; write it like 2026-12-31") from None
    end = day.replace(hour=23, minute=59, second=59)
    if end < timezone.now():
        raise CommandError(f"{text} is over")
    return end
