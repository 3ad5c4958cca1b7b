"""The watch over running exchanges: deadlines, progress, holds, keepalives, draining."""

import asyncio
import logging
import time

from django.conf import settings

from billing.batches import Progress
from billing.group_commit import GroupCommit
from gateway import settlement
from gateway.counting import TokenCounter
from gateway.exchanges import Exchange, Interrupt
from gateway.requests import Reading
from ratelimits.limiter import Limiter

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
PROGRESS_SECONDS = 2.0
LIMITS_SECONDS = 1.0


class Watch:
    """Knows every exchange of this process."""

    def __init__(self, ledger: GroupCommit, counter: TokenCounter, limiter: Limiter) -> None:
        self._ledger = ledger
        self._counter = counter
        self._limiter = limiter
        self._exchanges: set[Exchange] = set()
        # Those that still wait for their limits and their hold.
        self.starting = 0
        self.readings: set[Reading] = set()
        self._task: asyncio.Task[None] | None = None
        self._saved_at = self._taken_at = 0.0
        self._writes: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._walk_forever())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._exchanges) + self.starting

    def add(self, exchange: Exchange) -> None:
        self._exchanges.add(exchange)

    def discard(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)

    def running(self) -> list[Exchange]:
        return list(self._exchanges)

    async def wait_until_empty(self, seconds: float) -> None:
        """Return once every exchange has ended, or after `seconds`."""
        if self._exchanges:
            await asyncio.wait([exchange.task for exchange in self._exchanges], timeout=seconds)

    async def _walk_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            try:
                for reading in list(self.readings):
                    if now > reading.until:
                        reading.give_up()
                for exchange in list(self._exchanges):
                    exchange.listen()
                    self._look_at(exchange, now)
                if now - self._taken_at >= LIMITS_SECONDS:
                    self._taken_at = now
                    self._take_tokens()
                if now - self._saved_at >= PROGRESS_SECONDS:
                    self._saved_at = now
                    await self._save_progress()
            except Exception:
                # The watch must outlive whatever one exchange did to it.
                log.exception("the watch stumbled")

    def _look_at(self, exchange: Exchange, now: float) -> None:
        writing_since = exchange.client.writing_since
        stall_seconds = settings.GATEWAY["CLIENT_STALL_SECONDS"]
        is_stalled = writing_since is not None and now - writing_since > stall_seconds
        if exchange.is_ending:
            if is_stalled and exchange.is_settled:
                # Charged already; only its last words are not taken.
                exchange.task.cancel()
        elif writing_since is not None:
            if is_stalled:
                exchange.interrupt(Interrupt.CLIENT_STALLED)
        elif exchange.deadline is not None and now > exchange.deadline:
            exchange.interrupt(Interrupt.TIMEOUT)
        elif exchange.chat.is_stream and (
            now - max(exchange.last_write_at, exchange.client.written_at)
            > settings.GATEWAY["KEEPALIVE_SECONDS"]
        ):
            exchange.last_write_at = now
            # Not waited for: a client that reads slowly must not hold up the walk.
            task = asyncio.create_task(exchange.client.write(b": keep-alive\n\n"))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    def _take_tokens(self) -> None:
        """What streams have relayed beyond what was expected of them is taken from their limits
        now, for the next requests to see: a token at least for each piece."""
        for exchange in self._exchanges:
            if exchange.is_ending or not exchange.principal.limits.token_buckets:
                continue
            known = exchange.tokens_reserved + exchange.tokens_taken
            more = exchange.chat.prompt_tokens_estimate + exchange.meter.pieces - known
            if more > 0:
                exchange.tokens_taken += more
                self._limiter.correct(exchange.principal.limits, reserved=0, used=more)

    async def _save_progress(self) -> None:
        """Every exchange older than a save's period: extend its hold, note what it relayed."""
        old = [
            exchange
            for exchange in self._exchanges
            if not exchange.is_ending and exchange.age_seconds > PROGRESS_SECONDS
        ]
        if not old or not self._ledger.is_available:
            return
        uncounted = [
            exchange
            for exchange in old
            if exchange.prompt_tokens_counted is None and exchange.meter.has_relayed
        ]
        if uncounted:
            await settlement.count_prompts(uncounted, self._counter)
        self._ledger.save_progress(
            [Progress(exchange.hold.id, settlement.progress_of(exchange)) for exchange in old]
        )
