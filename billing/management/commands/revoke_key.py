"""`manage.py revoke_key KEY`: close an API key for good."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import keys
from accounts.models import ApiKey
from billing.management import operator


class Command(operator.OperatorCommand):
    help = "Close an API key for good. Gateways refuse it within a second."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="its id, or the whole key where it leaked")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = keys.find(options["key"])
        except ApiKey.DoesNotExist:
            # What was typed may be a key with a typo: it is not repeated into a log.
            raise CommandError("there is no such key") from None
        is_new = keys.revoke(key)
        assert key.revoked_at is not None
        self.answer(
            options,
            {
                "id": key.pk,
                "name": key.name,
                "organization": key.organization.slug,
                "was_open": is_new,
                "revoked_at": key.revoked_at.isoformat(),
            },
        )
