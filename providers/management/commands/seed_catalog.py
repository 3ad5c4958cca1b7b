"""`manage.py seed_catalog`: models, prices and channels. Run it as often as you like."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from providers import seed
from providers.models import Channel


class Command(BaseCommand):
    help = "Make the catalog's missing models, prices and channels; change nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        done = seed.plant()
        if options["json"]:
            self.stdout.write(json.dumps({"done": done, "channels": _channels()}))
            return
        for line in done or ["Nothing to do: the catalog is complete."]:
            self.stdout.write(line)


def _channels() -> list[dict[str, object]]:
    rows = Channel.objects.filter(is_enabled=True).select_related("model", "provider")
    return [
        {
            "model": row.model.name,
            "provider": row.provider.slug,
            "base_url": row.base_url,
            "upstream_model": row.upstream_model,
            "is_local_stand_in": row.is_local_stand_in,
        }
        for row in rows
    ]
