"""`manage.py export_organization ORGANIZATION > FILE`: everything kept about it, as JSON."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import audit
from billing import export
from billing.management import operator


class Command(BaseCommand):
    help = "Write everything kept about an organization to standard output, without secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = operator.find_organization(options["organization"])
        audit.record("organization.exported", organization)
        for piece in export.write(organization):
            self.stdout.write(piece, ending="")
