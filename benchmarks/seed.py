"""What a run needs in its database, made by the operator's own commands.

`python -m benchmarks.seed UPSTREAM_PORT ORGANIZATIONS` prints the keys as JSON. Limits are very
high but they are limits: every request takes from its buckets, as a customer's does.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

# Public name -> what its upstream does with a stream: tokens x milliseconds between them.
MODELS = {"qwen-turbo": "50x0", "qwen-plus": "50x20", "deepseek-chat": "20x200"}
BURST, PACED, SLOW = MODELS
PLAN = "benchmark"
PER_MINUTE = 2_000_000_000
OWNER = "benchmark@example.com"


def plant(upstream_port: int, organizations: int) -> dict[str, Any]:
    """Returns one organization's key first, then one key of each of the others."""
    lay_ground(upstream_port)
    keys = []
    for number in range(organizations):
        made = _ask(
            "create_organization", f"Benchmark {number}", owner=OWNER, plan=PLAN, credit="1000000"
        )
        keys.append(_ask("create_key", made["organization"])["api_key"])
    return {"keys": keys, "database": database_facts()}


def lay_ground(upstream_port: int) -> None:
    """Tables, catalog, the benchmark's plan, and channels to the scripted upstream."""
    from django.core.management import call_command

    from billing.models import Plan

    call_command("migrate", verbosity=0)
    call_command("seed_catalog", stdout=io.StringIO())
    Plan.objects.create(
        slug=PLAN, name="Benchmark", requests_per_minute=PER_MINUTE, tokens_per_minute=PER_MINUTE
    )
    for model, script in MODELS.items():
        base_url = f"http://127.0.0.1:{upstream_port}/{script}/v1"
        _ask("add_channel", model, base_url=base_url, upstream_model="scripted")


def _ask(command: str, *arguments: str, **options: Any) -> dict[str, Any]:
    from django.core.management import call_command

    out = io.StringIO()
    call_command(command, *arguments, stdout=out, json=True, **options)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def database_facts() -> dict[str, str]:
    """The server's settings that figures depend on."""
    from django.db import connection

    with connection.cursor() as cursor:
        facts = {}
        for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute(f"SHOW {name}")
            facts[name] = str(cursor.fetchone()[0])
    return facts


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    django.setup()
    print(json.dumps(plant(int(sys.argv[1]), int(sys.argv[2]))))
