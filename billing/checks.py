"""What `manage.py check --database default`, and so every `migrate`, asks of the live database."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

# Each keeps a commit that was acknowledged through a power cut. Without one of them a customer
# may be served, and never charged.
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
HINT = "Switch it on for the server, or for this role and database: money is kept there."


@register(Tags.database)
def check_durability(
    app_configs: Any = None, databases: Sequence[str] | None = None, **options: Any
) -> list[CheckMessage]:
    """An error for each setting of the server that may lose an acknowledged charge."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            for number, name in enumerate(DURABLE, 1):
                cursor.execute(f"SHOW {name}")
                value = cursor.fetchone()[0]
                if value in ("off", "local"):
                    found.append(Error(f"{name} is {value}", HINT, alias, f"billing.E00{number}"))
    return found
