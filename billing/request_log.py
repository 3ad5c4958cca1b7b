"""The log of requests: newest first by index, filtered without one.

Ids carry the time a request began, so a period is a range of the index by organization. Other
filters have no index, which every request would pay for: a page looks through a bounded number
of requests instead and says how far it came.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.models import UsageRecord
from billing.settlements import first_id_at

PAGE = 50
LOOKED_THROUGH_MAX = 20_000
PIECE = 2_000
_FIRST_ID = uuid.UUID(int=0)
_LAST_ID = uuid.UUID(int=2**128 - 1)
STATUSES = {
    "ok": "status < 400",
    "error": "status >= 400",
    "client": "status BETWEEN 400 AND 499",
    "provider": "status >= 500",
}
_CONDITIONS = {
    "model": "model = %(model)s",
    "key_id": "api_key_id = %(key_id)s",
    "project_id": "project_id = %(project_id)s",
    "reason": "billing_reason = %(reason)s",
    "cost_min_nanos": "charge_nanos >= %(cost_min_nanos)s",
}
# The inner query walks the index and stops at its limit; the outer one as soon as a page is full.
_FIND = """
SELECT * FROM (
    SELECT * FROM billing_usagerecord
    WHERE organization_id = %(organization)s AND id >= %(first)s AND id < %(end)s
    ORDER BY id DESC LIMIT %(looked_through)s
) AS looked_through {where} ORDER BY id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty and None mean any. `status` is a key of STATUSES."""

    since: datetime | None = None
    until: datetime | None = None
    status: str = ""
    model: str = ""
    key_id: int | None = None
    project_id: int | None = None
    reason: str = ""
    cost_min_nanos: int | None = None

    @property
    def conditions(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _CONDITIONS}
        return {name: value for name, value in values.items() if value not in ("", None)}

    @property
    def narrow(self) -> bool:
        """Whether requests must be looked at one by one."""
        return bool(self.conditions or self.status)

    @property
    def are_set(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """`older` is the cursor of what follows, None at the end. `reached` is how far back this page
    has looked where it stopped looking before it was full."""

    rows: list[UsageRecord]
    older: uuid.UUID | None = None
    reached: datetime | None = None


def find(
    organization_id: int, filters: Filters, before: uuid.UUID | None = None, limit: int = PAGE
) -> Page:
    """At most `limit` requests that began before the one with the id `before`."""
    first, end = bounds(filters, before)
    rows = list(_rows(organization_id, filters, first, end, limit + 1))
    if len(rows) > limit:
        return Page(rows[:limit], rows[limit - 1].pk)
    if not filters.narrow:
        return Page(rows)
    last = last_looked_at(organization_id, first, end, LOOKED_THROUGH_MAX)
    return Page(rows, last, moment_of(last) if last else None)


def pieces(
    organization_id: int, filters: Filters, before: uuid.UUID | None, count_max: int
) -> Iterator[list[UsageRecord]]:
    """What fits among the `count_max` requests before `before`, in pieces, newest first."""
    first, end = bounds(filters, before)
    for _ in range(-(-count_max // PIECE)):
        rows = list(_rows(organization_id, filters, first, end, PIECE, PIECE))
        yield rows
        if not filters.narrow:
            last = rows[-1].pk if len(rows) == PIECE else None
        else:
            last = last_looked_at(organization_id, first, end, PIECE)
        if last is None:
            return
        end = last


def bounds(filters: Filters, before: uuid.UUID | None) -> tuple[uuid.UUID, uuid.UUID]:
    """The period as ids, the end excluded; `before` cuts it."""
    first = first_id_at(filters.since) if filters.since else _FIRST_ID
    end = first_id_at(filters.until) if filters.until else _LAST_ID
    return first, min(end, before) if before else end


def moment_of(request_id: uuid.UUID) -> datetime:
    """When the request with this id began."""
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(milliseconds=request_id.int >> 80)


def last_looked_at(
    organization_id: int, first: uuid.UUID, end: uuid.UUID, count: int
) -> uuid.UUID | None:
    """The `count`th request from `end` back, where there are more behind it."""
    looked_at = UsageRecord.objects.filter(
        organization_id=organization_id, pk__gte=first, pk__lt=end
    ).order_by("-pk")
    found = list(looked_at.values_list("pk", flat=True)[count - 1 : count + 1])
    return found[0] if len(found) == 2 else None


def _rows(
    organization_id: int,
    filters: Filters,
    first: uuid.UUID,
    end: uuid.UUID,
    limit: int,
    looked_through: int | None = None,
) -> Iterable[UsageRecord]:
    conditions = [_CONDITIONS[name] for name in filters.conditions]
    if filters.status:
        conditions.append(STATUSES[filters.status])
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return UsageRecord.objects.raw(
        _FIND.format(where=where),
        {
            "organization": organization_id,
            "first": first,
            "end": end,
            "looked_through": (looked_through or LOOKED_THROUGH_MAX) if filters.narrow else limit,
            "limit": limit,
            **filters.conditions,
        },
    )
