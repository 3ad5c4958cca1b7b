"""`manage.py export_user EMAIL > FILE`: everything kept about a person, as JSON."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import audit, export
from billing.management import operator


class Command(BaseCommand):
    help = "Write everything kept about a person to standard output, as JSON without secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        user = operator.find_user(options["email"])
        audit.record("account.exported", None, f"user {user.pk}")
        for piece in export.write(user):
            self.stdout.write(piece, ending="")
