"""How long a key takes to look up: `python -m benchmarks.scale.lookups COUNT`, keys as JSON on
stdin, on the database the environment names. Prints milliseconds, each key's first look-up."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time


async def look_up(secrets: list[str]) -> list[float]:
    """One after the other, through the gateway's own snapshots."""
    from django.conf import settings
    from psycopg_pool import AsyncConnectionPool

    from gateway.principals import Principals

    pool = AsyncConnectionPool(
        settings.DATABASE_URL, min_size=1, open=False, kwargs={"autocommit": True}
    )
    await pool.open(wait=True)
    principals, taken = Principals(pool), []
    for secret in secrets:
        began = time.perf_counter()
        await principals.resolve(f"Bearer {secret}".encode(), "127.0.0.1")
        taken.append((time.perf_counter() - began) * 1000)
    await pool.close()
    return taken


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    django.setup()
    print(json.dumps(asyncio.run(look_up(json.load(sys.stdin)))))
