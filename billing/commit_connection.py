"""The group commit's connection: prepared statements, many in one round trip and one commit.

It drives libpq's pipeline mode directly. The statements between two syncs are one implicit
transaction: all of them are durable after one fsync, or none happened. Against psycopg's own
cursors that is a third of the processor time and a third of the system calls for each commit,
which a gateway under light load pays for every single request.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq

Rows = list[tuple[bytes | None, ...]]
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class StatementRefused(Exception):
    """The database refused one of the statements: nothing of the transaction happened."""


class CommitConnection:
    """One connection that runs named statements in transactions. One `run` at a time."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], parameters: dict[str, list[str]]
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._parameters = parameters
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[list[Rows]] | None = None
        self._results: list[Rows] = []
        self._refusal = ""
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._socket = self._pgconn.socket
        self._loop.add_reader(self._socket, self._read)

    @classmethod
    async def open(
        cls, dsn: str, statements: Mapping[str, str], **options: Any
    ) -> "CommitConnection":
        """Connect and prepare `statements` (by name, with `%(parameter)s` placeholders)."""
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, **options)
        parameters = {}
        for name, text in statements.items():
            parameters[name] = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
            for number, parameter in enumerate(parameters[name], start=1):
                text = text.replace(f"%({parameter})s", f"${number}")
            await connection.execute(f"PREPARE {name} AS {text}".encode(), prepare=False)
        return cls(connection, parameters)

    @property
    def connection(self) -> psycopg.AsyncConnection[Any]:
        return self._connection

    async def run(self, *calls: tuple[str, Mapping[str, object]]) -> list[Rows]:
        """Run the named statements as one transaction; their rows, as text. Raises
        `StatementRefused` (nothing happened) or `psycopg.OperationalError` (unknown)."""
        self._results, self._refusal = [], ""
        for name, values in calls:
            encoded = [
                None if values[key] is None else str(values[key]).encode()
                for key in self._parameters[name]
            ]
            self._pgconn.send_query_prepared(name.encode(), encoded)
        self._pgconn.pipeline_sync()
        self._waiter = self._loop.create_future()
        self._flush()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def shut(self) -> None:
        """Break the connection under whatever runs: it raises `OperationalError`."""
        self._fail(psycopg.OperationalError("the connection was given up"))
        self.close()

    def close(self) -> None:
        with suppress(Exception):
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._pgconn.finish()

    def _flush(self) -> None:
        try:
            is_more = self._pgconn.flush()
        except psycopg.OperationalError as error:
            self._fail(error)
            return
        if is_more:
            self._loop.add_writer(self._socket, self._flush_rest)

    def _flush_rest(self) -> None:
        self._loop.remove_writer(self._socket)
        self._flush()

    def _read(self) -> None:
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    if self._waiter is None or self._waiter.done():
                        return
                    continue  # the end of one statement's results
                if self._take(result):
                    return
        except psycopg.OperationalError as error:
            with suppress(Exception):
                self._loop.remove_reader(self._socket)
            self._fail(error)

    def _take(self, result: pq.abc.PGresult) -> bool:
        """Note one result. True at the sync that ends the transaction."""
        status = result.status
        if status == pq.ExecStatus.PIPELINE_SYNC:
            if self._waiter is not None and not self._waiter.done():
                if self._refusal:
                    self._waiter.set_exception(StatementRefused(self._refusal))
                else:
                    self._waiter.set_result(self._results)
            return True
        if status == pq.ExecStatus.TUPLES_OK:
            self._results.append(
                [
                    tuple(result.get_value(row, column) for column in range(result.nfields))
                    for row in range(result.ntuples)
                ]
            )
        elif status == pq.ExecStatus.COMMAND_OK:
            self._results.append([])
        elif not self._refusal and status != pq.ExecStatus.PIPELINE_ABORTED:
            self._refusal = result.error_message.decode(errors="replace").strip()
        return False

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
