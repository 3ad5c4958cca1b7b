"""A gateway process's two connections to the ledger's database, opened and broken together."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from billing import statements
from billing.commit_connection import CommitConnection
from billing.ledger import LedgerUnavailable

STATEMENT_TIMEOUT_SECONDS = 4
CONNECT_TIMEOUT_SECONDS = 3

_PREPARED = {
    "lock_wallets": statements.LOCK_WALLETS,
    "authorize": statements.AUTHORIZE,
    "capture_batch": statements.CAPTURE_BATCH,
    "save_progress": statements.SAVE_PROGRESS,
}


@dataclass(frozen=True, slots=True)
class LedgerLink:
    """`batches` commits what is plain, many at once; `single` takes what needs care."""

    batches: CommitConnection
    single: psycopg.AsyncConnection[Any]
    revenue_id: int

    @classmethod
    async def open(cls, dsn: str) -> Self:
        """Raises psycopg's errors, or `LedgerUnavailable` where the database is not migrated."""
        options: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "ttonkapi-ledger",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s"
            " -c synchronous_commit=on -c timezone=UTC"
            # One plan for all batches: it leaves out partitions when it starts, by the batch's
            # bounds. A plan for each batch would cost more than running it.
            " -c plan_cache_mode=force_generic_plan",
        }
        single = await psycopg.AsyncConnection.connect(dsn, autocommit=True, **options)
        try:
            cursor = await single.execute("SELECT id FROM billing_account WHERE kind = 'revenue'")
            row = await cursor.fetchone()
            if row is None:
                raise LedgerUnavailable("no revenue account: the database is not migrated")
            return cls(await CommitConnection.open(dsn, _PREPARED, **options), single, row[0])
        except BaseException:
            single.pgconn.finish()
            raise

    def shut(self) -> None:
        """Break both under whatever they run, which then raises."""
        self.batches.shut()
        # A connection that has just broken by itself has no socket any more, or no peer.
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self.single.pgconn.socket)) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.batches.close()
        with suppress(Exception):
            self.single.pgconn.finish()
