"""The database's clock, moved: `now()` of every session that begins inside answers as if it were
another day. The months of budgets and caps turn by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connection

_MAKE = """
CREATE SCHEMA moved;
CREATE TABLE moved.shift (seconds float8);
INSERT INTO moved.shift VALUES (0);
CREATE FUNCTION moved.now() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT transaction_timestamp() + make_interval(secs => (SELECT seconds FROM moved.shift))';
"""
_PATH = "moved, pg_catalog, public"


@contextmanager
def clock() -> Iterator[None]:
    """Sessions that begin inside have a clock that `set_to` moves; this one too."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(_MAKE)
        cursor.execute(f"ALTER DATABASE {name} SET search_path = {_PATH}")
        cursor.execute(f"SET search_path = {_PATH}")
        try:
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {name} RESET search_path")
            cursor.execute("SET search_path = DEFAULT; RESET search_path")
            cursor.execute("DROP SCHEMA moved CASCADE")


def set_to(moment: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE moved.shift SET seconds = extract(epoch FROM %s - transaction_timestamp())",
            [moment],
        )
