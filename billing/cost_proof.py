"""The proof that the sums of `billing.costs` are right: every record rated again, month by month,
so that memory stays flat. Archived months have no records any more, and are left out."""

import uuid
from collections.abc import Iterator
from datetime import date
from typing import Any

from django.db import connection

from billing import costs, partitions, settlements
from billing.costs import Books, Sums, Table

_RECORD = partitions.TABLES[1]
_LAST_ID = uuid.UUID(int=2**128 - 1)
_WITHIN = f"""{costs.RECORDS}
WHERE id >= %(first)s AND id < %(after)s
    AND xid < (SELECT coalesce(max(xid), 0) FROM billing_rollupwatermark)
"""
_OF_DAY = " AND (charged_at AT TIME ZONE 'UTC')::date = %(day)s"
_MONTHS = f"""
SELECT month FROM (
    {" UNION ".join(f"SELECT month FROM {table.name}" for table in costs.TABLES)}
    UNION SELECT {costs.MONTH} FROM {_RECORD}_default
) AS found WHERE month >= %(from_month)s
"""


def months(from_month: date) -> list[date]:
    """The months from this one on that have records or sums, and are not archived."""
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS, {"from_month": from_month})
        found = {month for (month,) in cursor.fetchall()}
        cursor.execute("SELECT month FROM billing_archive")
        archived = {month for (month,) in cursor.fetchall()}
    attached = {month for month in partitions.months(_RECORD) if month >= from_month}
    return sorted((found | attached) - archived)


def count(from_month: date) -> int:
    """How many records `differences` would rate."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {_RECORD} WHERE id >= %s", [_first_id(from_month)])
        return int(cursor.fetchone()[0])


def differences(month: date, day: date | None = None) -> Iterator[tuple[str, str]]:
    """Which sums of the month's records are not what rating them again gives, and how; of one
    `day` alone, where it is given. Within a transaction of the caller's."""
    books = Books.open()
    bounds = {"first": _first_id(month), "after": _after_id(month), "day": day}
    for record in costs.stream(_WITHIN + (_OF_DAY if day else ""), bounds):
        books.note(record)
    yield from _compare(costs.DAYS, books.days, month, day)
    yield from _compare(costs.ORGANIZATIONS, books.organizations, month, day)
    if day is None:  # an hour is the request's begin, and may be of the day before
        yield from _compare(costs.HOURS, books.hours, month, day)


def _compare(
    table: Table, expected: Sums, month: date, day: date | None
) -> Iterator[tuple[str, str]]:
    # What a channel was called upstream is what it was when its hour was summed.
    places = [place for place, name in enumerate(table.keys) if name != "upstream_model"]
    wanted, kept = _without(expected, places), _without(_read(table, month, day), places)
    for key in sorted(wanted.keys() | kept.keys()):
        rated, stored = wanted.get(key), kept.get(key)
        if rated != stored:
            yield f"{table.name} {', '.join(map(str, key))}", _words(table, rated, stored)


def _without(sums: Sums, places: list[int]) -> Sums:
    out: Sums = {}
    for key, values in sums.items():
        known = out.setdefault(tuple(key[place] for place in places), [0] * len(values))
        for place, value in enumerate(values):
            known[place] += value
    return out


def _read(table: Table, month: date, day: date | None) -> Sums:
    keys, width = list(table.keys), len(table.keys)
    statement = (
        f"SELECT {', '.join((*keys, *table.sums))} FROM {table.name} WHERE month = %(month)s"
        + (" AND day = %(day)s" if day else "")
    )
    rows = costs.stream(statement, {"month": month, "day": day})
    return {tuple(row[:width]): list(row[width:]) for row in rows}


def _words(table: Table, rated: list[int] | None, stored: list[int] | None) -> str:
    if stored is None:
        return "not there; see rebuild_rollups"
    if rated is None:
        return "no records; see rebuild_rollups"
    parts = [
        f"{name} {have}, recomputed {want}"
        for name, have, want in zip(table.sums, stored, rated, strict=True)
        if have != want
    ]
    return "; ".join(parts)


def _first_id(month: date) -> Any:
    return settlements.first_id_at(partitions.first_of(month))


def _after_id(month: date) -> Any:
    return _LAST_ID if month == costs.LAST_MONTH else _first_id(partitions.after(month))
