"""What `manage.py check --database default`, and so every `migrate`, asks of the live database."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from billing import partitions

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


@register(Tags.database)
def check_partitions(
    app_configs: Any = None, databases: Sequence[str] | None = None, **options: Any
) -> list[CheckMessage]:
    """A warning for rows in no month's partition, and for months that have none yet."""
    if "default" not in (databases or ()) or not partitions.exist():
        return []
    now = partitions.state()
    found: list[CheckMessage] = []
    if now.default_rows:
        found.append(
            Warning(
                f"{now.default_rows} rows of transfers and usage are in no month's partition",
                "A clock was wrong, or workers were away. See make_partitions in the docs.",
                "default",
                "billing.W001",
            )
        )
    if now.ahead < 1:
        found.append(
            Warning(
                "this month or the next has no partition of transfers and usage yet",
                "`migrate` makes them, as the workers do every hour.",
                "default",
                "billing.W002",
            )
        )
    return found
