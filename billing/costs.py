"""What usage cost upstream: rated by a worker, request by request, and kept as sums.

`billing.pricing.charge` rates a cost as it rates a charge, without a markup, by the version that
held when the request began. Nothing of it is on a request's path: `billing.rollups` calls `add`
in its own exact steps, so each record is rated exactly once. The tokens are those of the usage
record, whoever paid for them: what a client that left was charged, and what became the operator's
loss, cost the same upstream.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import connection

from billing import pricebook, pricing
from billing.models import BillingReason
from providers.models import Channel
from providers.usage import TokenUsage

_ROWS_PER_FETCH = 5_000
# Sums are written when so many keys have gathered: memory stays flat, however much is rebuilt.
_KEYS_MAX = 20_000

TOKENS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)
# In the order of `_Facts.sums`; a table that knows no tokens takes the first five.
_COMMON = ("requests", "errors", "unrated", "charge_nanos", "cost_nanos")
_BY_CHANNEL = (*_COMMON, "metered", "untold", *TOKENS)

# An id that carries no time (it lies in the default partition) may say any year; this is the last.
LAST_MONTH = date(9000, 1, 1)
# A record's month is its id's: what archiving drops it with.
MONTH = f"""date_trunc('month', to_timestamp(least(
    ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0,
    extract(epoch FROM timestamptz '{LAST_MONTH}Z'))) AT TIME ZONE 'UTC')::date"""
RECORDS = f"""
SELECT {MONTH} AS month, (charged_at AT TIME ZONE 'UTC')::date AS day,
    date_trunc('hour', started_at, 'UTC') AS hour, started_at,
    organization_id, provider, coalesce(channel_id, 0), model, {", ".join(TOKENS)}, charge_nanos,
    status >= 400, billing_reason = '{BillingReason.CLIENT_GONE_EARLY}'
FROM billing_usagerecord
"""
_NEW = f"{RECORDS} WHERE xid >= %(lower)s AND xid < %(upper)s"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of sums: what its rows are told apart by, with their SQL types, and what it sums."""

    name: str
    keys: Mapping[str, str]
    sums: Sequence[str]

    @property
    def upsert(self) -> str:
        """Adds rows, given as an array for each column, to those that are there."""
        columns = ", ".join((*self.keys, *self.sums))
        types = (*self.keys.values(), *("bigint" for _ in self.sums))
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        added = ", ".join(f"{name} = total.{name} + excluded.{name}" for name in self.sums)
        return (
            f"INSERT INTO {self.name} AS total ({columns}) SELECT * FROM unnest({arrays})"
            f" ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {added}"
        )


_CHANNEL_KEYS = {"month": "date", "provider": "text", "channel_id": "bigint", "model": "text"}
DAYS = Table("billing_costday", {"day": "date", **_CHANNEL_KEYS}, _BY_CHANNEL)
HOURS = Table(
    "billing_upstreamhour",
    {"hour": "timestamptz", **_CHANNEL_KEYS, "upstream_model": "text"},
    _BY_CHANNEL,
)
ORGANIZATIONS = Table(
    "billing_organizationday",
    {"day": "date", "month": "date", "organization_id": "bigint"},
    _COMMON,
)
TABLES = (DAYS, HOURS, ORGANIZATIONS)

Sums = dict[tuple[Any, ...], list[int]]


@dataclass(slots=True)
class Books:
    """Sums in the making, one set for each of `TABLES`."""

    prices: pricebook.Costs
    upstream_models: Mapping[int, str]
    days: Sums = field(default_factory=dict)
    hours: Sums = field(default_factory=dict)
    organizations: Sums = field(default_factory=dict)

    @classmethod
    def open(cls) -> "Books":
        names = dict(Channel.objects.values_list("pk", "upstream_model"))
        return cls(pricebook.costs(), names)

    def note(self, record: Sequence[Any]) -> None:
        """Rate one row of `RECORDS`, and add it to each sum it belongs to."""
        month, day, hour, started_at, organization_id, provider, channel_id, model, *rest = record
        *tokens, charge_nanos, is_error, is_untold = rest
        cost_nanos = self._cost(provider, model, channel_id, started_at, tokens)
        sums = [1, int(is_error), int(cost_nanos is None), charge_nanos, cost_nanos or 0,
                int(any(tokens)), int(is_untold and channel_id != 0), *tokens]  # fmt: skip
        where = (month, provider, channel_id, model)
        upstream_model = self.upstream_models.get(channel_id, model)
        _add(self.days, (day, *where), sums)
        _add(self.hours, (hour, *where, upstream_model), sums)
        _add(self.organizations, (day, month, organization_id), sums[: len(_COMMON)])

    def _cost(
        self, provider: str, model: str, channel_id: int, started_at: Any, tokens: Sequence[int]
    ) -> int | None:
        """Nanos; None where tokens were used and no version has a rate for them."""
        usage = TokenUsage(*tokens)
        if usage.total == 0:
            return 0
        version = self.prices.at(provider, model, channel_id, started_at)
        if version is None:
            return None
        try:
            return pricing.charge(version, started_at, usage, pricing.MARKUP_NONE_PPM)
        except LookupError:
            return None

    @property
    def is_full(self) -> bool:
        return len(self.organizations) + len(self.hours) > _KEYS_MAX

    def write(self) -> None:
        """Add the sums to the tables, and begin anew."""
        for table, sums in zip(TABLES, (self.days, self.hours, self.organizations), strict=True):
            if sums:
                # In one order everywhere.
                rows = [(*key, *sums[key]) for key in sorted(sums)]
                with connection.cursor() as cursor:
                    cursor.execute(
                        table.upsert, [list(column) for column in zip(*rows, strict=True)]
                    )
            sums.clear()


def add(lower: int, upper: int) -> int:
    """Rate the records of transactions from `lower` up to `upper`, within the caller's
    transaction; returns how many."""
    books, records = Books.open(), 0
    for record in stream(_NEW, {"lower": lower, "upper": upper}):
        books.note(record)
        records += 1
        if books.is_full:
            books.write()
    books.write()
    return records


def clear() -> None:
    """Forget what can be rated anew: of archived months the sums are all there is."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                f"DELETE FROM {table.name} WHERE month NOT IN (SELECT month FROM billing_archive)"
            )


def stream(statement: str, parameters: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows through a server-side cursor, in a transaction of the caller's."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            yield from rows


def _add(sums: Sums, key: tuple[Any, ...], values: Sequence[int]) -> None:
    known = sums.get(key)
    if known is None:
        sums[key] = list(values)
        return
    for place, value in enumerate(values):
        if value:  # most are zero, and a rebuild adds millions
            known[place] += value
