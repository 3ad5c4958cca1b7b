"""`manage.py archive_month YYYY-MM --to FOLDER [--drop]`: an old month into files."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import OperationalError

from billing import archive_files, archives
from billing.management import operator


class Command(operator.OperatorCommand):
    help = (
        "Write a closed month's transfers and usage records into FOLDER/YYYY-MM as compressed CSV,"
        " and read them back. With --drop also take them out of the database; their sums stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("month", metavar="YYYY-MM", type=operator.month)
        parser.add_argument("--to", metavar="FOLDER", required=True, type=Path)
        parser.add_argument(
            "--drop", action="store_true", help="drop the rows once the files are proven"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        month = options["month"]
        try:
            manifest = archives.write(month, options["to"])
            if options["drop"]:
                archives.drop(month, manifest)
        except (archives.NotClosed, archives.Changed, archive_files.Damaged, OSError) as error:
            raise CommandError(str(error)) from None
        except OperationalError as error:
            raise CommandError(f"nothing was dropped, try again: {error}") from None
        tables = manifest["tables"]
        self.answer(
            options,
            {
                "month": manifest["month"],
                "folder": str(options["to"] / manifest["month"]),
                "transfers": tables["billing_transfer"]["rows"],
                "usage_records": tables["billing_usagerecord"]["rows"],
                "bytes": sum(entry["bytes"] for entry in tables.values()),
                "is_dropped": options["drop"],
            },
        )
