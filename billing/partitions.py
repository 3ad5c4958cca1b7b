"""Monthly partitions of the tables that grow with every request.

A partition holds the rows whose UUIDv7 ids were made in one UTC month, so the id alone stays the
unique key, and an old month goes by DROP. Partitions are made months ahead. A row of a month
without one (an id from a clock that was wrong) lands in the default partition: no insert fails.
What lies there is reported, and moved once its month gets a partition.
"""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from billing.settlements import first_id_at

log = logging.getLogger(__name__)

TABLES = ("billing_transfer", "billing_usagerecord")
MONTHS_AHEAD = 3
# Attaching locks the default partition for a moment. A gateway gives up after longer than this.
_LOCK_TIMEOUT = "500ms"
# Any number will do, as long as nothing else locks it: partitions come and go one at a time.
_LOCK = 0x7474_6F6E_6B70
_NAME = re.compile(r"billing_[a-z]+_([0-9]{4})_([0-9]{2})")
_ROWS_COUNTED_MAX = 100_000

_ATTACHED = """
SELECT parent.relname, child.relname
FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent
    JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
"""


@dataclass(frozen=True, slots=True)
class State:
    """What there is: `ahead` months after this one, and rows that lie in no month's partition
    (counted to 100,000 in each table)."""

    ahead: int
    default_rows: int


def name_of(table: str, month: date) -> str:
    return f"{table}_{month:%Y_%m}"


def first_of(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def after(month: date, count: int = 1) -> date:
    """The first day of the `count`th month after this one."""
    years, index = divmod(month.month - 1 + count, 12)
    return date(month.year + years, index + 1, 1)


def months(table: str) -> set[date]:
    """The first days of the months that have a partition of `table`."""
    return _attached()[table]


def state(now: datetime | None = None) -> State:
    this_month = _this_month(now)
    both = set.intersection(*_attached().values())
    ahead = 0
    while after(this_month, ahead + 1) in both:
        ahead += 1
    if this_month not in both:
        ahead = -1
    return State(ahead, default_rows())


def default_rows() -> int:
    counts = [
        f"(SELECT count(*) FROM (SELECT FROM {table}_default LIMIT {_ROWS_COUNTED_MAX}) AS row)"
        for table in TABLES
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {' + '.join(counts)}")
        return int(cursor.fetchone()[0])


def exist() -> bool:
    """Whether the tables have been migrated at all."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{TABLES[-1]}_default"])
        return bool(cursor.fetchone()[0])


def make_ahead(now: datetime | None = None) -> list[str]:
    """Make what is missing for this month and the next three; returns the new partitions' names.

    Where a lock cannot be had at once the rest is left to the next run: the default partition
    takes the rows meanwhile.
    """
    this_month = _this_month(now)
    made: list[str] = []
    attached = _attached()
    for count in range(MONTHS_AHEAD + 1):
        month = after(this_month, count)
        if all(month in attached[table] for table in TABLES):
            continue
        try:
            made += make(month)
        except OperationalError as error:
            log.warning("no partition for %s yet: %s", month.strftime("%Y-%m"), error)
    return made


def make(month: date) -> list[str]:
    """Make the month's partition of each table that has none, and move into it what the default
    has caught for it. Returns the new names.

    Charging goes on meanwhile. Raises OperationalError where a lock cannot be had at once.
    """
    made = []
    for table in TABLES:
        with transaction.atomic():
            take_turn()
            if month not in months(table):
                _make(table, month)
                made.append(name_of(table, month))
    return made


def take_turn() -> None:
    """Hold back every other change of partitions until this transaction ends, and never wait
    longer for a lock than the gateways can."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _make(table: str, month: date) -> None:
    """CREATE TABLE … PARTITION OF would lock out every reader; ATTACH locks the default only."""
    name, bounds = name_of(table, month), (_first_id(month), _first_id(after(month)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        cursor.execute(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE")
        cursor.execute(f"SELECT EXISTS (SELECT FROM {table}_default WHERE {_WITHIN})", bounds)
        if cursor.fetchone()[0]:
            # The guards refuse to delete; the same transaction switches them on again.
            cursor.execute(f"ALTER TABLE {table}_default DISABLE TRIGGER USER")
            cursor.execute(
                f"WITH moved AS (DELETE FROM {table}_default WHERE {_WITHIN} RETURNING *)"
                f" INSERT INTO {name} SELECT * FROM moved",
                bounds,
            )
            log.warning("%d rows moved from %s_default to %s", cursor.rowcount, table, name)
            cursor.execute(f"ALTER TABLE {table}_default ENABLE TRIGGER USER")
        cursor.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", bounds
        )


def drop(table: str, month: date) -> None:
    """Drop the month's partition, within the caller's turn and transaction."""
    name = name_of(table, month)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
        cursor.execute(f"DROP TABLE {name}")


def overdue(months_kept: int, now: datetime | None = None) -> list[date]:
    """The months that have been over for longer than `months_kept` months; zero keeps all."""
    if not months_kept:
        return []
    oldest_kept = after(_this_month(now), -months_kept)
    return sorted(month for month in months(TABLES[0]) if month < oldest_kept)


_WITHIN = "id >= %s AND id < %s"


def _attached() -> dict[str, set[date]]:
    found: dict[str, set[date]] = {table: set() for table in TABLES}
    with connection.cursor() as cursor:
        cursor.execute(_ATTACHED, [list(TABLES)])
        for table, name in cursor.fetchall():
            if parts := _NAME.fullmatch(name):
                found[table].add(date(int(parts[1]), int(parts[2]), 1))
    return found


def _this_month(now: datetime | None) -> date:
    return (now or timezone.now()).astimezone(UTC).date().replace(day=1)


def _first_id(month: date) -> str:
    return str(first_id_at(first_of(month)))
