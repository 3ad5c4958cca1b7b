"""`manage.py import_bill PROVIDER FILE`: an upstream's bill or usage export, kept and compared."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.bills import alarms, imports, matching, sheets
from billing.management import operator
from billing.models import BillFormat


class Command(operator.OperatorCommand):
    help = "Keep an upstream's bill (CSV, or DeepSeek's ZIP) and compare it with our usage."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", help="its slug, such as deepseek")
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=BillFormat.values, help="instead of by its columns")
        parser.add_argument("--account", default="", help="only the channels of this name")
        parser.add_argument(
            "--utc-offset", type=int, metavar="HOURS", help="the zone of days that name none"
        )
        parser.add_argument("--currency", default="", help="where the file does not say: CNY")
        parser.add_argument(
            "--usd-per-unit", type=_decimal, metavar="USD", help="what one unit of it is in USD"
        )
        parser.add_argument(
            "--supersede", action="store_true", help="replace what there is of the same days"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        terms = imports.Terms(
            format=BillFormat(options["format"]) if options["format"] else None,
            account=options["account"],
            utc_offset_hours=options["utc_offset"],
            currency=options["currency"],
            usd_per_unit=options["usd_per_unit"],
            supersedes=options["supersede"],
        )
        path: Path = options["file"]
        try:
            bill, is_new = imports.run(options["provider"], path.name, _content(path), terms)
        except (sheets.Unreadable, imports.NotImported) as error:
            raise CommandError(str(error)) from None
        alarms.tell()
        self.answer(
            options,
            {
                "bill": bill.pk,
                "is_new": is_new,
                "provider": bill.provider,
                "format": bill.format,
                "first_day": bill.first_day.isoformat(),
                "last_day": bill.last_day.isoformat(),
                "rows": bill.rows,
                "rows_skipped": bill.rows_skipped,
                **matching.states([bill])[bill.pk],
            },
        )


def _content(path: Path) -> bytes:
    """Never more than a bill may have, whatever the file is. Raises CommandError."""
    try:
        with path.open("rb") as file:
            return file.read(sheets.BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(str(error)) from None


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise CommandError(f"{text!r} is no number") from None
    if not value.is_finite():
        raise CommandError(f"{text!r} is no number")
    return value
