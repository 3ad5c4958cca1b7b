"""What a gateway process holds: built once at start, torn down in order at the end."""

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import psycopg_pool
from django.conf import settings

from billing import spend_caps
from billing.group_commit import GroupCommit
from billing.spool import Spool
from gateway import heartbeats, tracing
from gateway.counting import TokenCounter
from gateway.estimates import Estimates
from gateway.exchanges import Interrupt
from gateway.metrics import Metrics
from gateway.principals import Principals
from gateway.retries import RetryBudget
from gateway.routes import Routes
from gateway.watch import Watch
from providers.upstream import Timeouts, Upstream
from ratelimits.limiter import Limiter

log = logging.getLogger(__name__)

CHANNEL = "ttonk_changes"
CATALOG_SECONDS = 30.0
NOTE_SECONDS = 10.0
# What was cut off by the server's stop has this long to reach the ledger.
SETTLE_SECONDS = 8.0
_NOTE_USED = """
UPDATE accounts_apikey k SET last_used_at = to_timestamp(used.at)
FROM unnest(%s::bigint[], %s::float8[]) AS used (id, at) WHERE k.id = used.id
"""


class Services:
    """One per process. `start` waits for nothing that is down: `/readyz` tells what is missing."""

    def __init__(self) -> None:
        # Read once: going through the settings costs the hot path as much as a limit does.
        options = self.options = settings.GATEWAY
        self._dsn = settings.DATABASE_URL
        self.pool: psycopg_pool.AsyncConnectionPool[Any] = psycopg_pool.AsyncConnectionPool(
            self._dsn, min_size=1, max_size=4, open=False, timeout=0.8, max_waiting=1000,
            # Or its pauses between attempts double, up to half a minute after a long outage;
            # a pool that gave up tries again for the next who asks.
            reconnect_timeout=1.0,
            kwargs={"autocommit": True, "connect_timeout": 3,
                    "options": "-c statement_timeout=2s -c timezone=UTC"},
        )  # fmt: skip
        self.spool = Spool(Path(options["SPOOL_DIR"]))
        self.ledger = GroupCommit(
            self._dsn,
            self.spool,
            hold_seconds=options["HOLD_SECONDS"],
            authorize_timeout_seconds=options["AUTHORIZE_TIMEOUT_SECONDS"],
        )
        self.limiter = Limiter(
            settings.REDIS_URL,
            processes=options["PROCESSES"],
            timeout_seconds=options["REDIS_TIMEOUT_SECONDS"],
        )
        self.upstream = Upstream(
            Timeouts(
                connect_seconds=options["CONNECT_TIMEOUT_SECONDS"],
                answer_bytes_max=options["ANSWER_BYTES_MAX"],
                event_bytes_max=options["EVENT_BYTES_MAX"],
            )
        )
        self.retries = RetryBudget(processes=options["PROCESSES"])
        self.metrics = Metrics()
        self.tracer = tracing.open_tracer(settings.TRACES_URL, settings.TRACES_RATIO)
        self.ledger.on_commit = self.metrics.note_commit
        self.counter = TokenCounter()
        self.routes = Routes()
        self.principals = Principals(self.pool)
        self.estimates = Estimates()
        self.watch = Watch(self.ledger, self.counter, self.limiter)
        # Of all requests under way, from the first byte of a body to the end of its answer.
        self.body_bytes = 0
        self.last_used: dict[int, float] = {}
        # Organizations that were refused something because of their own cap.
        self.capped: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.pool.open(wait=False)
        await self.ledger.start()
        await self.limiter.start()
        await self.upstream.start()
        with suppress(Exception):
            await self.routes.refresh()
        self.watch.start()
        self._tasks = [
            asyncio.create_task(self._listen_forever()),
            asyncio.create_task(self._refresh_forever()),
            asyncio.create_task(self._note_forever()),
            asyncio.create_task(heartbeats.beat_forever(self)),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._note()
        await self.watch.wait_until_empty(SETTLE_SECONDS)
        await self.watch.stop()
        await self.ledger.stop()
        await self.limiter.stop()
        await self.upstream.stop()
        self.counter.stop()
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.stop)
        await self.pool.close(timeout=1)

    # --- what the database says changed ---------------------------------------------------------

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, connect_timeout=3, keepalives_idle=5,
                    application_name="ttonkapi-changes",
                ) as connection:  # fmt: skip
                    await connection.execute(f"LISTEN {CHANNEL}")
                    # What changed while nobody listened is not known: start afresh.
                    self.principals.forget()
                    await self.routes.refresh()
                    async for notice in connection.notifies():
                        await self._take_notice(notice.payload)
            except Exception as error:
                log.warning("not listening for changes: %s", error)
            await asyncio.sleep(1)

    async def _take_notice(self, payload: str) -> None:
        kind, _, rest = payload.partition(":")
        if kind == "key":
            self.principals.forget(digest=rest)
        elif kind == "organization" and rest.isdigit():
            self.principals.forget(organization_id=int(rest))
        elif kind == "catalog":
            await self.routes.refresh()
        else:
            self.principals.forget()
        if kind in ("key", "organization"):
            await self._cut_revoked(rest)

    async def _cut_revoked(self, changed: str) -> None:
        """Streams of a key that may no longer be used end now, charged for what was relayed."""
        suspects = {
            exchange.principal.api_key_id: exchange
            for exchange in self.watch.running()
            if changed in (exchange.principal.digest, str(exchange.principal.organization_id))
        }
        for key_id, exchange in suspects.items():
            if await self.principals.is_refused(exchange.principal.digest):
                for running in self.watch.running():
                    if running.principal.api_key_id == key_id:
                        running.interrupt(Interrupt.REVOKED)

    async def _refresh_forever(self) -> None:
        """The catalog again now and then: a lost notice must not be lost for good."""
        while True:
            await asyncio.sleep(CATALOG_SECONDS if self.routes.is_loaded else 0.5)
            try:
                await self.routes.refresh()
            except Exception as error:
                log.warning("the catalog could not be refreshed: %s", error)

    # --- when keys were last used, and whose cap refused something ------------------------------

    async def _note_forever(self) -> None:
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            await self._note()

    async def _note(self) -> None:
        """Written in batches; lost at a crash, which costs at most ten seconds of a hint."""
        used, self.last_used = self.last_used, {}
        capped, self.capped = self.capped, set()
        try:
            if used:
                await self._write(_NOTE_USED, list(used), list(used.values()))
            if capped:
                await self._write(spend_caps.NOTE_REACHED, list(capped))
        except Exception as error:
            log.warning("last use of %d keys, %d caps not noted: %s", len(used), len(capped), error)

    async def _write(self, statement: LiteralString, *columns: list[Any]) -> None:
        async with self.pool.connection(timeout=1) as connection:
            await connection.execute(statement, columns)

    def note_use(self, api_key_id: int) -> None:
        self.last_used[api_key_id] = time.time()

    def note_capped(self, organization_id: int) -> None:
        self.capped.add(organization_id)

    def readiness(self) -> dict[str, str]:
        """Each dependency and how it is. Redis away is a degradation, not an outage."""
        return {
            "database": "ok" if self.ledger.is_available else "unavailable",
            "redis": "ok" if self.limiter.lane.is_ready else "degraded",
            "catalog": "ok" if self.routes.is_loaded else "unavailable",
        }
