"""The workers on a backlog: requests charged and not yet in any sum, as hours without a worker
leave them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg

from benchmarks import kernel, product
from benchmarks.goals import Verdict
from benchmarks.scale.sides import Side
from config.launcher import folder, run
from config.launcher.supervisor import Supervisor

PER_SECOND_MIN = 8_000
DRAIN_SECONDS_MAX = 240.0
# A gateway under such a load commits this many requests at once, and each time an outbox row for
# what was held and one for what was charged.
PER_COMMIT = 10
_LOOK_SECONDS = 0.1
# What a worker's session is at, by a word of its statement.
_WORK = {
    "roll_up_usage": "fresh AS MATERIALIZED",
    "fold_deltas": "DELETE FROM billing_accountdelta",
    # Costs are rated between two fetches, in the same transaction.
    "rating costs": "FETCH FORWARD",
}

# Copies of the last records, under new ids of this moment and with their wallets debited.
_STAGE = """
CREATE UNLOGGED TABLE scale_backlog AS
SELECT row_number() OVER () - 1 AS seq, u.*, a.id AS wallet_id,
    (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(md5('backlog' || u.id), 1, 3) || '8' || substr(md5('backlog' || u.id), 4, 14)
        || '0')::uuid AS new_id
FROM (SELECT * FROM billing_usagerecord ORDER BY id DESC LIMIT {requests}) u
    JOIN billing_account a ON a.organization_id = u.organization_id;
CREATE INDEX ON scale_backlog (seq);
ANALYZE scale_backlog;
UPDATE billing_account a
SET debits_posted = debits_posted + spent.nanos,
    usage_month = date_trunc('month', now() AT TIME ZONE 'UTC'), usage_month_nanos = spent.nanos
        + CASE WHEN usage_month >= date_trunc('month', now() AT TIME ZONE 'UTC')
               THEN usage_month_nanos ELSE 0 END
FROM (SELECT wallet_id, sum(charge_nanos)::bigint AS nanos FROM scale_backlog GROUP BY 1) spent
WHERE spent.wallet_id = a.id;
"""
_FACTS = (
    "organization_id, project_id, api_key_id, model, provider, channel_id, price_id, markup_ppm,"
    " input_tokens, cached_input_tokens, cache_write_tokens, output_tokens,"
    " reasoning_output_tokens, charge_nanos, billing_reason, is_estimated, is_stream, status,"
    " error_code, attempts, first_token_ms, duration_ms"
)
# As many commits as gateways would have made, each with a transaction id of its own.
_CAPTURE = f"""
DO $$ BEGIN FOR lower IN 0 .. {{requests}} - 1 BY {PER_COMMIT} LOOP
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state,
        held_nanos, amount_nanos, api_key_id, created_at, expires_at, resolved_at)
    SELECT new_id, wallet_id, (SELECT id FROM billing_account WHERE kind = 'revenue'), 'usage',
        CASE WHEN charge_nanos > 0 THEN 'posted' ELSE 'voided' END, charge_nanos + 1000,
        charge_nanos, api_key_id, now(), now(), now()
    FROM scale_backlog WHERE seq >= lower AND seq < lower + {PER_COMMIT};
    INSERT INTO billing_usagerecord (id, {_FACTS}, started_at, charged_at, xid)
    SELECT new_id, {_FACTS}, now(), now(), pg_current_xact_id()::text::bigint
    FROM scale_backlog WHERE seq >= lower AND seq < lower + {PER_COMMIT};
    INSERT INTO billing_accountdelta
        (kind, debits_pending, debits_posted, credits_pending, credits_posted)
    SELECT 'revenue', 0, 0, sum(charge_nanos + 1000), 0
    FROM scale_backlog WHERE seq >= lower AND seq < lower + {PER_COMMIT}
    UNION ALL SELECT 'revenue', 0, 0, -sum(charge_nanos + 1000), sum(charge_nanos)
    FROM scale_backlog WHERE seq >= lower AND seq < lower + {PER_COMMIT};
    COMMIT;
END LOOP; END $$
"""
_WAITING = """
SELECT EXISTS (SELECT FROM billing_accountdelta) OR EXISTS (
    SELECT FROM billing_usagerecord WHERE id >= %s
        AND xid >= (SELECT max(xid) FROM billing_rollupwatermark))
"""
_ACTIVE = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (state = 'active' OR (state = 'idle in transaction' AND query LIKE 'FETCH FORWARD%'))
"""


class Drained(msgspec.Struct, frozen=True):
    """A backlog and its end. `working_seconds` is how long statements of the tasks were seen
    running; `seconds` counts from the workers' start, their waits between two looks included."""

    requests: int
    is_drained: bool
    seconds: float
    working_seconds: dict[str, float]
    worker_cpu_seconds: float

    @property
    def per_second(self) -> float:
        """While at work; nothing where none was seen, which is no figure."""
        seconds = sum(self.working_seconds.values())
        return self.requests / seconds if seconds else 0.0


def measure(data: Path, side: Side, requests: int) -> Drained:
    """Leave `requests` to one worker and its beat, as `make run` starts them."""
    with psycopg.connect(side.database_url, autocommit=True) as connection:
        first_id = _leave_behind(connection, requests)
        supervisor = Supervisor(
            os.environ | side.environment, folder.PROJECT, lambda _: None, print
        )
        worker, beat = run.worker_and_beat(data)
        began = time.monotonic()
        try:
            supervisor.start(worker)
            supervisor.start(beat)
            is_drained, working = _wait(connection, first_id)
            seconds = time.monotonic() - began
            assert worker.process is not None
            cpu = kernel.cpu_seconds(worker.process.pid)
        finally:
            supervisor.drain(("beat",), lambda: False)
            supervisor.drain(("worker",), lambda: False)
    return Drained(requests, is_drained, seconds, working, cpu)


def _leave_behind(connection: psycopg.Connection[tuple[object, ...]], requests: int) -> str:
    """Returns the backlog's lowest id."""
    connection.execute("SET synchronous_commit = off")
    connection.execute(_STAGE.format(requests=requests).encode())
    connection.execute(_CAPTURE.format(requests=requests).encode())
    found = connection.execute("SELECT min(new_id::text) FROM scale_backlog").fetchone()
    connection.execute("DROP TABLE scale_backlog")
    if found is None:
        raise product.Broken("there is nothing to make a backlog of")
    return str(found[0])


def _wait(
    connection: psycopg.Connection[tuple[object, ...]], first_id: str
) -> tuple[bool, dict[str, float]]:
    """Whether nothing waits any more, and the seconds of each task until then."""
    working: dict[str, float] = {}
    looked = time.monotonic()
    deadline = looked + DRAIN_SECONDS_MAX
    while looked < deadline:
        time.sleep(_LOOK_SECONDS)
        queries = [str(row[0]) for row in connection.execute(_ACTIVE)]
        since, looked = looked, time.monotonic()
        for task in tasks_of(queries):
            working[task] = working.get(task, 0.0) + looked - since
        if not queries and connection.execute(_WAITING, [first_id]).fetchone() == (False,):
            return True, working
    return False, working


def tasks_of(queries: list[str]) -> set[str]:
    """Which tasks' statements are among those running."""
    return {task for task, word in _WORK.items() if any(word in query for query in queries)}


def verdicts(drained: Drained) -> Iterator[Verdict]:
    parts = ", ".join(f"{name} {taken:.1f} s" for name, taken in drained.working_seconds.items())
    yield Verdict(
        goal="one settlement worker, charged requests reconciled a second",
        target=f">= {PER_SECOND_MIN:,}/s",
        figure=f"{drained.per_second:,.0f}/s ({parts})",
        is_met=drained.is_drained and drained.per_second >= PER_SECOND_MIN,
    )
    yield Verdict(
        goal=f"a backlog of {drained.requests:,} charged requests",
        target="drains",
        figure=f"{'drained' if drained.is_drained else 'NOT drained'} in {drained.seconds:.0f} s",
        is_met=drained.is_drained,
    )
