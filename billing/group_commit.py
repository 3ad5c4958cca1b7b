"""Authorizations and captures of one gateway process, committed together.

What arrives while the last commit runs goes into the next one: no delay when idle, large
batches under load, one connection. A request never waits for its own fsync alone, and a busy
wallet is updated once per batch instead of once per request.
"""

import asyncio
import logging
import os
import socket
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from billing import batches, careful, statements
from billing.batches import Authorization, Capture, Hold, Progress
from billing.ledger import LedgerUnavailable
from billing.spool import Spool

log = logging.getLogger(__name__)

BATCH_MAX = 256
STATEMENT_TIMEOUT_SECONDS = 4
RECONNECT_SECONDS = 0.25
ABANDON_SECONDS = 2.5
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
        self._authorizations: deque[tuple[Authorization, asyncio.Future[Hold], float]] = deque()
        # Taken from the queue into the commit that runs now.
        self._authorizing: list[tuple[Authorization, asyncio.Future[Hold], float]] = []
        self._captures: deque[tuple[Capture, asyncio.Future[None]]] = deque()
        self._progress: list[Progress] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._is_down = False
        self._revenue_id = 0
        self._committing_since: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.batches = 0
        self.items = 0

    async def start(self) -> None:
        """Begin committing. A database that is down is waited for; until then: unavailable."""
        with suppress(*_CONNECTION_LOST):
            await self._connect()
            await self._replay()
        self._is_down = self._connection is None
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
        if self._connection is not None:
            await self._connection.close()

    @property
    def is_available(self) -> bool:
        return not self._is_down

    @property
    def queue_length(self) -> int:
        return len(self._authorizations) + len(self._captures)

    async def authorize(self, item: Authorization) -> Hold:
        """Hold money, durably. Raises `InsufficientFunds`, `BudgetExceeded` (nothing held) or
        `LedgerUnavailable` (within `authorize_timeout_seconds`; a hold that was made all the
        same is given back)."""
        if self._is_down:
            raise LedgerUnavailable
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Hold] = loop.create_future()
        self._authorizations.append((item, waiter, loop.time()))
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
        self._connection = await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            prepare_threshold=1,
            connect_timeout=3,
            application_name="ttonkapi-ledger",
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s"
            f" -c synchronous_commit=on -c timezone=UTC",
        )
        cursor = await self._connection.execute(
            "SELECT id FROM billing_account WHERE kind = 'revenue'"
        )
        row = await cursor.fetchone()
        if row is None:
            raise LedgerUnavailable("no revenue account: the database is not migrated")
        self._revenue_id = row[0]
        self._is_down = False

    async def _commit_forever(self) -> None:
        while True:
            if self._connection is None:
                await self._reconnect()
                continue
            if not self._work.is_set():
                self._idle.set()
            await self._work.wait()
            self._idle.clear()
            self._work.clear()
            while self._authorizations or self._captures or self._progress:
                try:
                    self._committing_since = asyncio.get_running_loop().time()
                    await self._commit_waiting()
                except _CONNECTION_LOST as error:
                    await self._lose_connection(error)
                    break
                finally:
                    self._committing_since = None

    async def _commit_waiting(self) -> None:
        holds = self._authorizing = _take(self._authorizations, BATCH_MAX)
        captures = _take(self._captures, BATCH_MAX)
        progress, self._progress = self._progress, []
        self.batches += 1
        self.items += len(holds) + len(captures)
        try:
            if captures:
                await self._commit_captures(captures)
            if holds:
                await self._commit_authorizations(holds)
            if progress:
                await self._execute(
                    statements.SAVE_PROGRESS,
                    batches.progress_parameters(progress, self._hold_seconds),
                )
        except (*_CONNECTION_LOST, asyncio.CancelledError):
            # Undecided captures go back to the front: they are replayed or spooled.
            self._captures.extendleft(entry for entry in reversed(captures) if _is_open(entry[1]))
            for _, waiter, _ in holds:
                _fail(waiter, LedgerUnavailable())
            raise
        except Exception as error:
            log.exception("a batch was refused")
            for waiter in [entry[1] for entry in (*holds, *captures)]:
                _fail(waiter, LedgerUnavailable(str(error)))

    async def _execute(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        cursor = await self._connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []

    async def _commit_captures(self, entries: list[tuple[Capture, asyncio.Future[None]]]) -> None:
        plain = [entry for entry in entries if not entry[0].needs_care]
        resolved: set[uuid.UUID] = set()
        if plain:
            try:
                rows = await self._execute(
                    statements.CAPTURE, batches.capture_parameters([item for item, _ in plain])
                )
            except _CONNECTION_LOST:
                raise
            except (psycopg.Error, ValueError) as error:
                # One poisoned item must not take its neighbours down: each goes alone.
                log.error("capture batch refused, isolating: %s", error)
                rows = []
            resolved = {row[0] for row in rows}
        for item, waiter in entries:
            if item.needs_care or item.facts.id not in resolved:
                await self._capture_carefully(item, waiter)
            elif not waiter.done():
                waiter.set_result(None)

    async def _capture_carefully(self, item: Capture, waiter: asyncio.Future[None]) -> None:
        assert self._connection is not None
        self._restart_commit_clock()
        try:
            await careful.capture(self._connection, item)
        except _CONNECTION_LOST:
            raise
        except (psycopg.Error, ValueError) as error:
            log.error("capture of %s refused: %s", item.facts.id, error)
            _fail(waiter, LedgerUnavailable(str(error)))
        else:
            if not waiter.done():
                waiter.set_result(None)

    async def _commit_authorizations(
        self, entries: list[tuple[Authorization, asyncio.Future[Hold], float]]
    ) -> None:
        entries = [entry for entry in entries if not entry[1].done()]
        short, available = await self._hold([entry for entry in entries if not entry[0].is_capped])
        if short:
            # A wallet that cannot pay for all of it pays for what it can, again in one statement:
            # thousands of requests on an empty wallet must not delay everybody else's.
            short, _ = await self._hold(_fit(short, available))
        for item, waiter, _ in [*short, *(entry for entry in entries if entry[0].is_capped)]:
            await self._authorize_carefully(item, waiter)

    async def _hold(
        self, entries: list[tuple[Authorization, asyncio.Future[Hold], float]]
    ) -> tuple[list[tuple[Authorization, asyncio.Future[Hold], float]], dict[int, int]]:
        """Hold for the wallets that can pay for all their entries. Returns the other wallets'
        entries, and what every wallet had available, in nanos."""
        if not entries:
            return [], {}
        rows = await self._execute(
            statements.AUTHORIZE,
            batches.authorize_parameters(
                [item for item, _, _ in entries], self._revenue_id, self._hold_seconds
            ),
        )
        granted = {wallet_id for wallet_id, _, is_granted in rows if is_granted}
        now = datetime.now(UTC)
        short = []
        for entry in entries:
            item, waiter, _ = entry
            if item.wallet_id not in granted:
                short.append(entry)
                continue
            hold = Hold(item.id, item.wallet_id, item.amount_nanos, item.api_key_id, False, now)
            self._deliver(hold, waiter)
        return short, {wallet_id: available for wallet_id, available, _ in rows}

    async def _authorize_carefully(self, item: Authorization, waiter: asyncio.Future[Hold]) -> None:
        """One by one in order of arrival: where another process was quicker, or caps apply."""
        assert self._connection is not None
        self._restart_commit_clock()
        try:
            hold = await careful.authorize(
                self._connection, item, self._revenue_id, self._hold_seconds
            )
        except _CONNECTION_LOST:
            raise
        except Exception as error:
            _fail(waiter, error)
        else:
            self._deliver(hold, waiter)

    def _restart_commit_clock(self) -> None:
        """An item that goes alone is a commit of its own: many are not one that hangs."""
        if self._committing_since is not None:
            self._committing_since = asyncio.get_running_loop().time()

    def _deliver(self, hold: Hold, waiter: asyncio.Future[Hold]) -> None:
        if waiter.done():
            # Its request gave up waiting: nobody will use this hold, and it expires soon. Giving
            # it back at once would need a record of a request that never ran.
            log.warning("hold %s was made too late for its request", hold.id)
        else:
            waiter.set_result(hold)

    # --- trouble --------------------------------------------------------------------------------

    async def _watch_forever(self) -> None:
        """Fail authorizations that waited too long; give up on a commit that hangs."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.1)
            now = loop.time()
            for _, waiter, since in (*self._authorizations, *self._authorizing):
                if now - since > self._timeout_seconds:
                    _fail(waiter, LedgerUnavailable())
            while self._authorizations and self._authorizations[0][1].done():
                self._authorizations.popleft()
            since_commit = self._committing_since
            if since_commit is not None and now - since_commit > ABANDON_SECONDS:
                self._abandon_commit()

    def _abandon_commit(self) -> None:
        """The database does not answer: break the connection under the commit in flight. It is
        undecided; its captures are replayed, and change nothing where it did commit."""
        self._is_down = True
        self._committing_since = None
        # A connection that has just broken by itself has no socket any more, or no peer.
        with suppress(OSError, psycopg.Error):
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.pgconn.socket)) as duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)

    async def _lose_connection(self, error: Exception) -> None:
        if self._connection is not None:
            log.error("ledger database lost: %s", error)
        self._is_down = True
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.pgconn.finish()
        for _, waiter, _ in self._authorizations:
            _fail(waiter, LedgerUnavailable())
        self._authorizations.clear()
        await self._spool_waiting()

    async def _reconnect(self) -> None:
        try:
            await asyncio.wait_for(self._connect(), 3)
            await self._replay()
        except (*_CONNECTION_LOST, psycopg.Error, LedgerUnavailable) as error:
            # Also what came in while a connection was up and the replay broke it again.
            await self._lose_connection(error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _spool_waiting(self) -> None:
        """Make queued captures durable without the database."""
        entries = _take(self._captures, len(self._captures))
        if not entries:
            return
        try:
            await asyncio.to_thread(self._spool.write, [item for item, _ in entries])
        except OSError as error:
            log.critical("spool refused %d captures: %s", len(entries), error)
            for _, waiter in entries:
                _fail(waiter, LedgerUnavailable(str(error)))
            return
        for _, waiter in entries:
            if not waiter.done():
                waiter.set_result(None)

    async def _replay(self) -> None:
        """Captures spooled by this or an earlier process, one after the other."""
        assert self._connection is not None
        claimed = await asyncio.to_thread(self._spool.claim)
        try:
            for batch in claimed:
                is_whole = await careful.replay(self._connection, batch.items)
                await asyncio.to_thread(batch.discard if is_whole else batch.set_aside)
        finally:
            # Also when the database goes away again: a lock kept would hide the file for good.
            for batch in claimed:
                batch.release()


def _is_open(waiter: "asyncio.Future[Any]") -> bool:
    """Whether nothing has been decided; a caller that gave up waiting decides nothing."""
    return waiter.cancelled() or not waiter.done()


def _take(queue: deque[Any], most: int) -> list[Any]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def _fit(
    entries: list[tuple[Authorization, asyncio.Future[Hold], float]], available: dict[int, int]
) -> list[tuple[Authorization, asyncio.Future[Hold], float]]:
    """The entries that their wallets can pay for, at what they can pay; the others are refused."""
    out = []
    fitted = batches.fit([item for item, _, _ in entries], available)
    for (_, waiter, since), item in zip(entries, fitted, strict=True):
        if isinstance(item, Authorization):
            out.append((item, waiter, since))
        else:
            _fail(waiter, item)
    return out


def _fail(waiter: "asyncio.Future[Any]", error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
        waiter.exception()  # read once, so that an abandoned waiter is not reported as forgotten
