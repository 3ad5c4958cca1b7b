"""Looking keys up in the database, many at a time.

A gateway that has just started knows no key, and the whole world asks at once: a query for each
would queue behind a few connections. So whoever asks while a query is under way is in the next.
"""

import asyncio
from typing import Any

import psycopg_pool
from psycopg.rows import dict_row

LOOKUP_SECONDS = 0.9
# Digests in one query.
BATCH_MAX = 500
Row = dict[str, Any]
_QUERY = """
SELECT k.id AS api_key_id, k.digest, k.organization_id, k.project_id, k.allowed_models,
    k.allowed_addresses, k.requests_per_minute AS key_rpm, k.tokens_per_minute AS key_tpm,
    k.spend_cap_day_nanos, k.spend_cap_month_nanos, k.expires_at, k.revoked_at,
    j.budget_month_nanos, o.suspended_at, w.id AS wallet_id, p.requests_per_minute,
    p.tokens_per_minute, p.body_bytes_max, coalesce(s.markup_ppm, p.markup_ppm) AS markup_ppm
FROM accounts_apikey k
JOIN accounts_organization o ON o.id = k.organization_id
JOIN accounts_project j ON j.id = k.project_id
JOIN billing_account w ON w.organization_id = o.id
JOIN billing_subscription s ON s.organization_id = o.id
JOIN billing_plan p ON p.id = s.plan_id
WHERE k.digest = ANY(%s)
"""


class Lookups:
    """One query at a time. `pool` is shared with other short reads."""

    def __init__(self, pool: psycopg_pool.AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._asked: dict[str, asyncio.Future[Row | None]] = {}
        self._asker: asyncio.Task[None] | None = None

    async def find(self, digest: str) -> Row | None:
        """The key's row, as it is after this call; None where there is none. Raises what the
        driver does, and TimeoutError where the database does not answer in time."""
        future = self._asked.get(digest)
        if future is None:
            future = self._asked[digest] = asyncio.get_running_loop().create_future()
            if self._asker is None or self._asker.done():
                self._asker = asyncio.create_task(self._ask_until_empty())
        # Shared: one caller that gives up must not cancel it for the others.
        return await asyncio.shield(future)

    async def _ask_until_empty(self) -> None:
        while self._asked:
            batch = dict(list(self._asked.items())[:BATCH_MAX])
            for digest in batch:
                del self._asked[digest]
            try:
                rows = await self._ask(list(batch))
            except Exception as error:
                _answer(batch, error)
            except BaseException:
                _answer(batch, ConnectionAbortedError("stopped"))
                raise
            else:
                _answer(batch, rows)

    async def _ask(self, digests: list[str]) -> dict[str, Row]:
        async with (
            asyncio.timeout(LOOKUP_SECONDS),
            self._pool.connection(timeout=LOOKUP_SECONDS) as connection,
        ):
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_QUERY, (digests,))
            return {row["digest"]: row for row in await cursor.fetchall()}


def _answer(
    batch: dict[str, asyncio.Future[Row | None]], result: dict[str, Row] | Exception
) -> None:
    for digest, future in batch.items():
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
            future.exception()  # whoever asked may be gone: that is no mistake
        else:
            future.set_result(result.get(digest))
