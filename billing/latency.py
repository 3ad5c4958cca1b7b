"""How long an organization's streams took to their first token: a histogram per UTC day.

Buckets are those of `billing.measurements`: a percentile read from them is off by a few percent.
The rows are added by `billing.rollups`, in its own exact steps.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from django.db import connection

from billing import measurements
from billing.models import LatencyDay
from billing.periods import today

KEPT_DAYS = measurements.KEPT_DAYS
Counts = Mapping[int, int]

_ADD = f"""
INSERT INTO billing_latencyday AS total (organization_id, day, bucket, requests)
SELECT organization_id, (charged_at AT TIME ZONE 'UTC')::date,
    {measurements.bucket_of("first_token_ms")}, count(*)
FROM billing_usagerecord
WHERE xid >= %(lower)s AND xid < %(upper)s AND charged_at >= %(since)s
    AND is_stream AND first_token_ms IS NOT NULL
GROUP BY 1, 2, 3
ON CONFLICT (organization_id, day, bucket) DO UPDATE
    SET requests = total.requests + excluded.requests
"""


def add(lower: int, upper: int) -> None:
    """Add the records of transactions from `lower` up to `upper`; those of the kept days only."""
    since = today() - timedelta(KEPT_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_ADD, {"lower": lower, "upper": upper, "since": since})


def prune() -> int:
    """Take out days older than are kept; returns how many rows."""
    return LatencyDay.objects.filter(day__lt=today() - timedelta(KEPT_DAYS)).delete()[0]


def by_day(organization_id: int, first: date, last: date) -> dict[date, dict[int, int]]:
    """Counts per bucket, of the days that have any."""
    rows = LatencyDay.objects.filter(
        organization_id=organization_id, day__gte=first, day__lte=last
    ).values_list("day", "bucket", "requests")
    out: dict[date, dict[int, int]] = defaultdict(dict)
    for day, bucket, requests in rows:
        out[day][bucket] = requests
    return out


def together(days: Iterable[Counts]) -> dict[int, int]:
    out: dict[int, int] = defaultdict(int)
    for counts in days:
        for bucket, requests in counts.items():
            out[bucket] += requests
    return out


def milliseconds(counts: Counts, share: float) -> int | None:
    """What `share` of the streams' first tokens did not take longer than; None without any."""
    found = measurements.percentile(counts, share)
    return None if found is None else max(1, round(found))
