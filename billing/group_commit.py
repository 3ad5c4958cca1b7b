"""Authorizations and captures of one gateway process, committed together.

What arrives while the last commit runs goes into the next one: no delay when idle, large
batches under load, one connection. A request never waits for its own fsync alone, and a busy
wallet is updated once per batch instead of once per request.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from billing import batches, careful, waiters
from billing.batches import Authorization, Capture, Funds, Hold, Progress
from billing.commit_connection import Rows, StatementRefused
from billing.ledger import LedgerUnavailable
from billing.ledger_link import LedgerLink
from billing.spool import Spool
from billing.waiters import WaitingCapture, WaitingHold

log = logging.getLogger(__name__)

BATCH_MAX = 256
RECONNECT_SECONDS = 0.25
ABANDON_SECONDS = 2.5
_TICK_SECONDS = 0.1
STOP_SECONDS = 10.0
_CONNECTION_LOST = careful.CONNECTION_LOST


class GroupCommit:
    """The gateway's door to the ledger. Every method may be called from many tasks at once."""

    def __init__(
        self, dsn: str, spool: Spool, *, hold_seconds: int, authorize_timeout_seconds: float
    ) -> None:
        self._dsn = dsn
        self._spool = spool
        self._hold_seconds = hold_seconds
        self._timeout_seconds = authorize_timeout_seconds
        self._authorizations: deque[WaitingHold] = deque()
        # Taken from the queue into the commit that runs now.
        self._authorizing: list[WaitingHold] = []
        self._captures: deque[WaitingCapture] = deque()
        self._progress: list[Progress] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._link: LedgerLink | None = None
        self._is_down = False
        # Something may lie in the spool that no replay has seen.
        self._is_spooled = False
        self._committing_since: float | None = None
        self._stood_still_seconds = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        # Told of every commit: how many items it had, and its seconds.
        self.on_commit: Callable[[int, float], None] = lambda items, seconds: None

    async def start(self) -> None:
        """Begin committing. A database that is down is waited for; until then: unavailable."""
        with suppress(*_CONNECTION_LOST):
            await self._connect()
            await self._replay()
        self._is_down = self._link is None
        self._tasks = [asyncio.create_task(self._commit_forever())]
        self._tasks.append(asyncio.create_task(self._watch_forever()))

    async def stop(self) -> None:
        """Commit (or spool) what is queued, then close."""
        if not self._is_down:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Nobody commits any more: a capture that comes now goes to the spool.
        self._is_down = True
        await self._spool_waiting()
        if self._link is not None:
            self._link.close()

    @property
    def is_available(self) -> bool:
        return not self._is_down

    @property
    def queue_length(self) -> int:
        return len(self._authorizations) + len(self._captures)

    async def authorize(self, item: Authorization) -> Hold:
        """Hold money, durably. Raises `InsufficientFunds` or one of its kinds (nothing held), or
        `LedgerUnavailable` (within `authorize_timeout_seconds`; a hold that was made all the
        same is given back)."""
        if self._is_down:
            raise LedgerUnavailable
        waiter: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()
        self._authorizations.append((item, waiter, self._time()))
        self._work.set()
        return await waiter

    async def capture(self, item: Capture) -> None:
        """Resolve the hold and write the usage record. Returns once that is durable: committed,
        or, while the database is away, in the fsynced spool. Again with the same id: nothing.
        Raises `LedgerUnavailable` where neither can be done."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._captures.append((item, waiter))
        self._work.set()
        # A caller that is cancelled takes no capture with it: neither its own nor others'.
        if self._is_down:
            await asyncio.shield(self._spool_waiting())
        await waiter

    def save_progress(self, items: Sequence[Progress]) -> None:
        """Extend these holds and remember what they relayed, at the next commit."""
        self._progress = list(items)
        self._work.set()

    # --- committing -----------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._link = await LedgerLink.open(self._dsn)
        self._is_down = False

    async def _commit_forever(self) -> None:
        while True:
            if self._link is None:
                await self._reconnect()
                continue
            if not self._work.is_set():
                self._idle.set()
            await self._work.wait()
            self._idle.clear()
            self._work.clear()
            if self._is_spooled and not await self._replay_or_lose():
                continue
            while self._authorizations or self._captures or self._progress:
                try:
                    self._committing_since = self._time()
                    await self._commit_waiting()
                except _CONNECTION_LOST as error:
                    await self._lose_connection(error)
                    break
                finally:
                    self._committing_since = None

    async def _commit_waiting(self) -> None:
        holds = self._authorizing = waiters.take(self._authorizations, BATCH_MAX)
        captures = waiters.take(self._captures, BATCH_MAX)
        progress, self._progress = self._progress, []
        try:
            await self._commit(
                [entry for entry in holds if not entry[1].done()], captures, progress
            )
        except (*_CONNECTION_LOST, asyncio.CancelledError):
            # Undecided captures go back to the front: they are replayed or spooled.
            self._captures.extendleft(
                entry for entry in reversed(captures) if waiters.is_open(entry[1])
            )
            for _, waiter, _ in holds:
                waiters.fail(waiter, LedgerUnavailable())
            raise
        except Exception as error:
            log.exception("a batch was refused")
            for waiter in [entry[1] for entry in (*holds, *captures)]:
                waiters.fail(waiter, LedgerUnavailable(str(error)))

    async def _commit(
        self,
        holds: list[WaitingHold],
        captures: list[WaitingCapture],
        progress: list[Progress],
    ) -> None:
        """All that is plain in one transaction, then one by one what needs care."""
        plain_holds = [entry for entry in holds if not entry[0].is_capped]
        plain_captures = [entry for entry in captures if not entry[0].needs_care]
        try:
            answers = await self._run(plain_holds, plain_captures, progress)
        except StatementRefused as error:
            # One poisoned item must not take its neighbours down: each goes alone.
            log.error("a batch was refused, isolating its items: %s", error)
            plain_holds, plain_captures, answers = [], [], {}
        unresolved = {row[0] for row in answers.get("capture_batch", [])}
        for capture, captured in plain_captures:
            if not unresolved or str(capture.facts.id).encode() not in unresolved:
                waiters.finish(captured)
        for capture, captured in captures:
            if waiters.is_open(captured):
                await self._capture_carefully(capture, captured)
        await self._hand_out(plain_holds, answers.get("authorize", []))
        for hold, held, _ in holds:
            if not held.done():
                await self._authorize_carefully(hold, held)

    async def _hand_out(self, entries: list[WaitingHold], rows: Rows) -> None:
        """The holds that were made. A wallet that could not pay for all of its entries pays for
        what it can, again in one statement: thousands of requests on an empty wallet must not
        delay everybody else's. What is left then goes alone."""
        short = self._deliver_granted(entries, rows)
        fitted = waiters.fit(short, _funds(rows)) if short and rows else []
        if fitted:
            answers = await self._run(fitted, [], [])
            self._deliver_granted(fitted, answers["authorize"])

    async def _run(
        self,
        holds: list[WaitingHold],
        captures: list[WaitingCapture],
        progress: list[Progress],
    ) -> dict[str, Rows]:
        """One transaction. The rows of each statement by its name."""
        assert self._link is not None
        items = [entry[0] for entry in holds]
        ends = [entry[0] for entry in captures]
        calls: list[tuple[str, dict[str, Any]]] = []
        if items and ends:
            calls.append(("lock_wallets", batches.wallets([*items, *ends])))
        if ends:
            calls.append(("capture_batch", batches.capture_parameters(ends)))
        if items:
            parameters = batches.authorize_parameters(
                items, self._link.revenue_id, self._hold_seconds
            )
            calls.append(("authorize", parameters))
        if progress:
            parameters = batches.progress_parameters(progress, self._hold_seconds)
            calls.append(("save_progress", parameters))
        if not calls:
            return {}
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        rows = await self._link.batches.run(*calls)
        self.on_commit(len(items) + len(ends), loop.time() - began_at)
        return {name: found for (name, _), found in zip(calls, rows, strict=True)}

    def _deliver_granted(self, entries: list[WaitingHold], rows: Rows) -> list[WaitingHold]:
        """Hand out the holds of wallets that could pay for all of theirs; the others' entries."""
        granted = {int(row[0] or 0) for row in rows if row[2] == b"t"}
        now = datetime.now(UTC)
        short = []
        for entry in entries:
            item, waiter, _ = entry
            if item.wallet_id not in granted:
                short.append(entry)
                continue
            hold = Hold(item.id, item.wallet_id, item.amount_nanos, item.api_key_id, False, now)
            self._deliver(hold, waiter)
        return short

    async def _capture_carefully(self, item: Capture, waiter: asyncio.Future[None]) -> None:
        assert self._link is not None
        self._restart_commit_clock()
        try:
            await careful.capture(self._link.single, item)
        except _CONNECTION_LOST:
            raise
        except (psycopg.Error, ValueError) as error:
            log.error("capture of %s refused: %s", item.facts.id, error)
            waiters.fail(waiter, LedgerUnavailable(str(error)))
        else:
            waiters.finish(waiter)

    async def _authorize_carefully(self, item: Authorization, waiter: asyncio.Future[Hold]) -> None:
        """One by one in order of arrival: where another process was quicker, or caps apply."""
        assert self._link is not None
        self._restart_commit_clock()
        try:
            hold = await careful.authorize(
                self._link.single, item, self._link.revenue_id, self._hold_seconds
            )
        except _CONNECTION_LOST:
            raise
        except Exception as error:
            waiters.fail(waiter, error)
        else:
            self._deliver(hold, waiter)

    def _restart_commit_clock(self) -> None:
        """An item that goes alone is a commit of its own: many are not one that hangs."""
        if self._committing_since is not None:
            self._committing_since = self._time()

    def _deliver(self, hold: Hold, waiter: asyncio.Future[Hold]) -> None:
        if waiter.done():
            # Its request gave up waiting: nobody will use this hold, and it expires soon. Giving
            # it back at once would need a record of a request that never ran.
            log.warning("hold %s was made too late for its request", hold.id)
        else:
            waiter.set_result(hold)

    # --- trouble --------------------------------------------------------------------------------

    async def _watch_forever(self) -> None:
        """Fail authorizations that waited too long; give up on a commit that hangs.

        A tick that comes late says that this process stood still itself (bodies of megabytes, a
        machine that was paused). The database may have answered long ago, and nobody has read it:
        that time does not count, or healthy requests would be refused for it.
        """
        loop = asyncio.get_running_loop()
        while True:
            asleep_since = loop.time()
            await asyncio.sleep(_TICK_SECONDS)
            late = loop.time() - asleep_since - _TICK_SECONDS
            if late > _TICK_SECONDS:
                self._stood_still_seconds += late
            now = self._time()
            for _, waiter, since in (*self._authorizations, *self._authorizing):
                if now - since > self._timeout_seconds:
                    waiters.fail(waiter, LedgerUnavailable())
            while self._authorizations and self._authorizations[0][1].done():
                self._authorizations.popleft()
            since_commit = self._committing_since
            if since_commit is not None and now - since_commit > ABANDON_SECONDS:
                self._abandon_commit()

    def _time(self) -> float:
        """Seconds in which this process ran: what others are given to answer."""
        return asyncio.get_running_loop().time() - self._stood_still_seconds

    def _abandon_commit(self) -> None:
        """The database does not answer: break the connection under the commit in flight. It is
        undecided; its captures are replayed, and change nothing where it did commit."""
        self._is_down = True
        self._committing_since = None
        if self._link is not None:
            self._link.shut()

    async def _lose_connection(self, error: Exception) -> None:
        if self._link is not None:
            log.error("ledger database lost: %s", error)
        self._is_down = True
        link, self._link = self._link, None
        if link is not None:
            link.close()
        for _, waiter, _ in self._authorizations:
            waiters.fail(waiter, LedgerUnavailable())
        self._authorizations.clear()
        await self._spool_waiting()

    async def _reconnect(self) -> None:
        try:
            await asyncio.wait_for(self._connect(), 3)
        except (*_CONNECTION_LOST, psycopg.Error) as error:
            await self._lose_connection(error)
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            await self._replay_or_lose()

    async def _replay_or_lose(self) -> bool:
        """Whether the database is still there after a replay."""
        try:
            await self._replay()
            return True
        except (*_CONNECTION_LOST, psycopg.Error, LedgerUnavailable) as error:
            # Also what came in while a connection was up and the replay broke it again.
            await self._lose_connection(error)
            await asyncio.sleep(RECONNECT_SECONDS)
            return False

    async def _spool_waiting(self) -> None:
        """Make queued captures durable without the database."""
        entries = waiters.take(self._captures, len(self._captures))
        if not entries:
            return
        try:
            await asyncio.to_thread(self._spool.write, [item for item, _ in entries])
        except OSError as error:
            log.critical("spool refused %d captures: %s", len(entries), error)
            for _, waiter in entries:
                waiters.fail(waiter, LedgerUnavailable(str(error)))
            return
        # The database may have come back while this was written, and its replay have missed it.
        self._is_spooled = True
        self._work.set()
        for _, waiter in entries:
            waiters.finish(waiter)

    async def _replay(self) -> None:
        """Captures spooled by this or an earlier process, one after the other."""
        assert self._link is not None
        self._is_spooled = False
        claimed = await asyncio.to_thread(self._spool.claim)
        try:
            for batch in claimed:
                is_whole = await careful.replay(self._link.single, batch.items)
                await asyncio.to_thread(batch.discard if is_whole else batch.set_aside)
        finally:
            # Also when the database goes away again: a lock kept would hide the file for good.
            for batch in claimed:
                batch.release()


def _funds(rows: Rows) -> dict[int, Funds]:
    """What each wallet had."""
    return {int(row[0] or 0): Funds(int(row[1] or 0), int(row[3] or 0)) for row in rows}
