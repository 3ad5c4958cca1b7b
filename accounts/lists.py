"""Lists of large tables for the operator: counted by estimate, never past a thousand pages."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet

# Up to here a list is counted exactly; a search is not counted further.
COUNTED_MAX = 10_000
# A page far behind costs what skipping everything before it costs.
PAGES_MAX = 1_000

_ESTIMATE = """
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
WHERE relkind = 'r' AND (oid = to_regclass(%(table)s) OR oid IN (
    SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%(table)s)))
"""


class LargeTablePaginator(Paginator):  # type: ignore[type-arg]
    """Counts a whole table by the database's own estimate, its partitions together."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        if not self.object_list.query.where:
            estimate = _estimated_rows(self.object_list.model._meta.db_table)
            if estimate > COUNTED_MAX:
                return estimate
        return self.object_list.order_by()[:COUNTED_MAX].count()

    @cached_property
    def num_pages(self) -> int:
        return min(super().num_pages, PAGES_MAX)


def _estimated_rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_ESTIMATE, {"table": table})
        return int(cursor.fetchone()[0])
