"""Fill an empty database with months of use: `python -m benchmarks.scale.fill UPSTREAM_PORT ROWS
ORGANIZATIONS KEYS`, on the database the environment names. Prints what was made as JSON.

Rows are written set-wise, with their secondary indexes made afterwards and triggers off, as a
restore would. The sums and the invoices are the product's own doing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import psycopg

from benchmarks import seed
from benchmarks.scale import history

LARGE_KEYS_MAX = 1_000
DRAWN_MAX = 1_000
OPERATOR = "operator@example.com"
_GROWING = ("billing_transfer", "billing_usagerecord")
_FAST = (
    "SET session_replication_role = replica; SET work_mem = '256MB'; SET jit = off;"
    "SET maintenance_work_mem = '512MB'; SET timezone = 'UTC'; SET synchronous_commit = off"
)
_INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = ANY(%s::regclass[]) AND NOT i.indisprimary
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""


class Size(msgspec.Struct, frozen=True):
    """How much there is. Without rows: the same product before its first request."""

    rows: int
    organizations: int
    keys: int

    @property
    def large_keys(self) -> int:
        """How many keys the large organization has, so that every other has one at least."""
        wanted = min(LARGE_KEYS_MAX, self.keys // 100)
        return max(min(wanted, self.keys - self.organizations + 1), 1)


class Filled(msgspec.Struct, frozen=True):
    """What a fill made."""

    keys: list[str]  # secrets; the first is the large organization's, each other another's
    owner_session: str
    operator_session: str
    large_requests: int
    seconds: dict[str, float]
    bytes: int
    database: dict[str, str]


class _Filling:
    """One database being filled. `seconds` says how long each step took."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(days=history.DAYS)
        self.step = (history.DAYS * 86_400 - 900) / max(size.rows, 1)
        self.seconds: dict[str, float] = {}
        self._url = os.environ["DATABASE_URL"]

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 2)

    def run(self, statement: str, **more: object) -> None:
        parameters = {"began": self.began, "step": self.step, "plan": seed.PLAN, **more}
        parameters |= msgspec.structs.asdict(self.size) | {"large_keys": self.size.large_keys}
        with self.connect() as connection, psycopg.ClientCursor(connection) as cursor:
            cursor.execute(statement.encode(), parameters)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._url, autocommit=True, **options)
        connection.execute(_FAST)
        return connection

    def side_by_side(self, *jobs: Callable[[], None]) -> None:
        """The jobs in threads; what one of them raises is raised here."""
        errors: list[BaseException] = []

        def guarded(job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    @contextmanager
    def without_indexes(self, *tables: str) -> Iterator[None]:
        """Making an index over all rows is many times faster than adding them one by one."""
        with self.connect() as connection:
            found = connection.execute(_INDEXES, [list(tables)]).fetchall()
            for name, _ in found:
                connection.execute(f"DROP INDEX {name}".encode())
        yield
        # A partitioned table's index is defined ON ONLY it; made anew it reaches all partitions.
        made = [definition.replace(" ON ONLY ", " ON ") for _, definition in found]
        with self.timed(f"indexes of {', '.join(tables)}"):
            self.side_by_side(
                lambda: self._each(made[0::2]),
                lambda: self._each(made[1::2]),
            )

    def _each(self, statements: list[str]) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def fill(self) -> list[str]:
        """Everything but sums and invoices. Returns the known secrets."""
        with self.timed("people"):
            self.run(history.PEOPLE)
            self.run(history.CREDITS)
        with self.timed("keys"), self.without_indexes("accounts_apikey"):
            secrets = self._draw()
            self.run(history.KEYS)
        self.run(history.MODELS)
        with self.connect() as connection:
            (models,) = connection.execute("SELECT count(*) FROM scale_model").fetchone() or (0,)
        self.run(history.BURSTS, models=models)
        if self.size.rows:
            self._use()
        self.run(history.SEQUENCES)
        with self.timed("vacuum"):
            self.side_by_side(
                lambda: self._each([f"VACUUM (ANALYZE) {_GROWING[0]}", "ANALYZE"]),
                lambda: self._each([f"VACUUM (ANALYZE) {_GROWING[1]}"]),
            )
        self.run(history.CLEAN)
        return secrets

    def _draw(self) -> list[str]:
        """Keys with secrets we know: the large organization's first, then other organizations'."""
        from accounts import keys

        count = min(DRAWN_MAX, self.size.organizations - 1)
        numbers = [1, *range(self.size.large_keys + 1, self.size.large_keys + 1 + count)]
        secrets = [keys.generate() for _ in numbers]
        with self.connect() as connection:
            connection.execute(
                "CREATE UNLOGGED TABLE scale_drawn (n bigint, digest text, prefix text,"
                " last_four text)"
            )
            with connection.cursor().copy("COPY scale_drawn FROM STDIN") as copy:
                for number, secret in zip(numbers, secrets, strict=True):
                    prefix = secret[: len(keys.LIVE_PREFIX) + 4]
                    copy.write_row((number, keys.digest(secret), prefix, secret[-4:]))
        return secrets

    def _use(self) -> None:
        """The requests: two halves side by side, each in the order of its ids."""
        half = self.size.rows // 2
        with self.timed("requests"), self.without_indexes(*_GROWING):
            self.side_by_side(
                lambda: self._use_part(0, half),
                lambda: self._use_part(half, self.size.rows),
            )
        with self.timed("balances"):
            self.run(history.BALANCES, from_id=self._id(0))

    def _use_part(self, first: int, after: int) -> None:
        self.run(history.RECORDS, first=first, last=after - 1)
        with self.connect() as connection:
            row = connection.execute("SELECT id FROM billing_account WHERE kind = 'revenue'")
            (revenue,) = row.fetchone() or (0,)
        self.run(history.TRANSFERS, from_id=self._id(first), to_id=self._id(after), revenue=revenue)

    def _id(self, number: int) -> str:
        """The lowest id that row `number` can have, and none before it."""
        from billing import settlements

        moment = self.began + timedelta(seconds=60 + (number - 0.5) * self.step)
        return str(settlements.first_id_at(moment))


def fill(upstream_port: int, size: Size) -> Filled:
    """Migrate the database and fill it."""
    filling = _Filling(size)
    with filling.timed("migrations and catalog"):
        seed.lay_ground(upstream_port)
        _make_partitions(filling.began)
    keys = filling.fill()
    if size.rows:
        _settle(filling)
    return Filled(
        keys=keys,
        owner_session=_session("owner-1@example.com"),
        operator_session=_session(OPERATOR),
        large_requests=_count_large(),
        seconds=filling.seconds,
        bytes=_bytes(),
        database=seed.database_facts(),
    )


def _make_partitions(began: datetime) -> None:
    """Of the months that are past; those to come are the product's to make."""
    from billing import partitions

    month = began.date().replace(day=1)
    while month <= datetime.now(UTC).date():
        partitions.make(month)
        month = partitions.after(month)


def _settle(filling: _Filling) -> None:
    """Sums and the last whole month's invoices, by the code that makes them in production."""
    from billing import invoices, rollups

    with filling.timed("rollups"):
        rollups.roll_up()
    last = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    with filling.timed("closing a month"):
        invoices.close_month(last.replace(day=1))
    with filling.timed("an upstream's bill"):
        _import_bill(last.replace(day=1), last)
    filling.run("ANALYZE")


def _import_bill(first: date, last: date) -> None:
    """The whole last month of the provider with the most requests, as we have it ourselves."""
    from django.db import connection

    from billing.bills import imports

    with connection.cursor() as cursor:
        cursor.execute(history.BILL, {"first": first, "last": last})
        rows = cursor.fetchall()
    if rows:
        lines = [",".join(map(str, row)) for _provider, *row in rows]
        data = "\n".join((history.BILL_HEADER, *lines)).encode()
        imports.run(rows[0][0], "bill.csv", data, imports.Terms())


def _session(email: str) -> str:
    """A signed-in browser's cookie."""
    from django.test import Client

    from accounts.models import User

    user = User.objects.filter(email=email).first()
    client = Client()
    client.force_login(user or User.objects.create_superuser(email, "not for the public"))
    return client.cookies["sessionid"].value


def _count_large() -> int:
    from billing.models import UsageRecord

    return UsageRecord.objects.filter(organization_id=1).count()


def _bytes() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    # Six months are rolled up at once here, which no worker ever does.
    os.environ["PGOPTIONS"] = "-c work_mem=256MB -c synchronous_commit=off"
    django.setup()
    _port, *_counts = map(int, sys.argv[1:])
    sys.stdout.buffer.write(msgspec.json.encode(fill(_port, Size(*_counts))) + b"\n")
