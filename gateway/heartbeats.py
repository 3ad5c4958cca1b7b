"""Heartbeats: every gateway process says every few seconds that it is there, and what it sees.

Channels' health lives in the processes' memory; this is how workers and pages learn of it. Off
the request path: one small write, and a database that is away costs nothing but the beat.
"""

import asyncio
import logging
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from django.utils import timezone

from gateway.models import Heartbeat

if TYPE_CHECKING:
    from gateway.services import Services

log = logging.getLogger(__name__)

SECONDS = 10.0
# A process that has not been heard of for so long is gone.
FRESH_FOR = timedelta(seconds=45)
_KEPT_FOR = timedelta(hours=1)
_BEAT = """
INSERT INTO gateway_heartbeat (process, at, facts) VALUES (%s, now(), %s::jsonb)
ON CONFLICT (process) DO UPDATE SET at = excluded.at, facts = excluded.facts
"""


async def beat_forever(services: "Services") -> None:
    process = uuid.uuid4()
    while True:
        try:
            async with services.pool.connection(timeout=1) as connection:
                await connection.execute(_BEAT, (process, facts(services)))
        except Exception as error:
            log.info("no heartbeat: %s", error)
        await asyncio.sleep(SECONDS)


def facts(services: "Services") -> str:
    """What a beat says, as JSON. The failures are those in a row, until the next success."""
    channels = {
        str(channel.id): [channel.health.attempts, channel.health.failures]
        for model in services.routes.catalog.models.values()
        for channel in model.channels
    }
    return msgspec.json.encode({"parts": services.readiness(), "channels": channels}).decode()


def fresh(now: datetime | None = None) -> list[dict[str, Any]]:
    """What the processes that are there have last said."""
    since = (now or timezone.now()) - FRESH_FOR
    return list(Heartbeat.objects.filter(at__gte=since).values_list("facts", flat=True))


def prune() -> None:
    Heartbeat.objects.filter(at__lt=timezone.now() - _KEPT_FOR).delete()
