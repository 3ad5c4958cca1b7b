"""`manage.py suspend_organization ORGANIZATION`."""

from typing import Any

from django.core.management.base import CommandParser

from accounts import organizations
from billing.management import operator


class Command(operator.OperatorCommand):
    help = "Refuse an organization's requests until it is resumed. Gateways learn of it at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = operator.find_organization(options["organization"])
        is_changed = organizations.suspend(organization)
        suspended_at = organization.suspended_at
        self.answer(
            options,
            {
                "organization": organization.slug,
                "is_changed": is_changed,
                "suspended_at": suspended_at.isoformat() if suspended_at else None,
            },
        )
