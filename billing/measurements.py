"""How models have served, measured on real requests: counts, first tokens and speeds by the hour.

A median is not a sum, so each measure is kept as a histogram: how many requests of a model fell
into each bucket in each hour. Buckets are a quarter of a doubling wide, which tells a median to
within a few percent. The rows are added by `billing.rollups`, in its own exact steps.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from billing.models import BillingReason, Measure, ModelHour

BUCKETS_PER_DOUBLING = 4
KEPT_DAYS = 90
# A speed is told by streams of at least so many tokens that took at least so long.
SPEED_TOKENS_MIN = 8
SPEED_MILLISECONDS_MIN = 20

# Answered, as far as we and the provider are concerned; a client that left before the first token
# and a request that the provider refused as wrong (400) say nothing about the model.
_SERVED = (BillingReason.COMPLETED, BillingReason.COMPLETED_ESTIMATED, BillingReason.CLIENT_GONE)
_FAILED = (BillingReason.UPSTREAM_FAILED, BillingReason.UPSTREAM_DIED, BillingReason.GATEWAY_LOST)


def _list(reasons: Iterable[str]) -> str:
    return ", ".join(f"'{reason}'" for reason in reasons)


def bucket_of(value: str) -> str:
    """The bucket of a value, both as SQL."""
    return f"floor(ln(greatest({value}, 1)::float8) / ln(2::float8) * {BUCKETS_PER_DOUBLING})"


_SPEED = "(output_tokens + reasoning_output_tokens) * 1000.0 / (duration_ms - first_token_ms)"
_ADD = f"""
INSERT INTO billing_modelhour AS total (model, hour, measure, bucket, requests)
SELECT model, date_trunc('hour', charged_at, 'UTC'), kind.measure, kind.bucket, count(*)
FROM billing_usagerecord CROSS JOIN LATERAL (VALUES
    (CASE WHEN billing_reason IN ({_list(_SERVED)}) THEN '{Measure.SERVED}'
          WHEN billing_reason = '{BillingReason.UPSTREAM_FAILED}' AND status < 500 THEN NULL
          WHEN billing_reason IN ({_list(_FAILED)}) THEN '{Measure.FAILED}' END, 0),
    (CASE WHEN is_stream AND first_token_ms IS NOT NULL THEN '{Measure.FIRST_TOKEN}' END,
        {bucket_of("first_token_ms")}),
    (CASE WHEN is_stream AND output_tokens + reasoning_output_tokens >= {SPEED_TOKENS_MIN}
          AND duration_ms - first_token_ms >= {SPEED_MILLISECONDS_MIN} THEN '{Measure.SPEED}' END,
        {bucket_of(f"CASE WHEN duration_ms > first_token_ms THEN {_SPEED} END")})
) AS kind (measure, bucket)
WHERE xid >= %(lower)s AND xid < %(upper)s AND charged_at >= %(since)s
    AND kind.measure IS NOT NULL
GROUP BY 1, 2, 3, 4
ON CONFLICT (model, hour, measure, bucket) DO UPDATE
    SET requests = total.requests + excluded.requests
"""


def add(lower: int, upper: int) -> None:
    """Add the records of transactions from `lower` up to `upper`; those of the last days only."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD, {"lower": lower, "upper": upper, "since": str(_since(KEPT_DAYS))})


def prune() -> int:
    """Take out hours older than are kept; returns how many rows."""
    return ModelHour.objects.filter(hour__lt=_since(KEPT_DAYS)).delete()[0]


@dataclass(slots=True)
class Figures:
    """What was measured of one model over some time."""

    served: int = 0
    failed: int = 0
    buckets: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))

    def note(self, measure: str, bucket: int, requests: int) -> None:
        if measure == Measure.SERVED:
            self.served += requests
        elif measure == Measure.FAILED:
            self.failed += requests
        else:
            counts = self.buckets[measure]
            counts[bucket] = counts.get(bucket, 0) + requests

    @property
    def requests(self) -> int:
        return self.served + self.failed

    @property
    def uptime_percent(self) -> float | None:
        """Of the requests that could be answered, those that were; None without any."""
        return 100 * self.served / self.requests if self.requests else None

    @property
    def first_token_ms(self) -> int | None:
        """The median time to a stream's first token."""
        middle = median(self.buckets.get(Measure.FIRST_TOKEN, {}))
        return None if middle is None else round(middle)

    @property
    def tokens_per_second(self) -> float | None:
        """The median speed of streams, after their first token."""
        return median(self.buckets.get(Measure.SPEED, {}))


def median(counts: Mapping[int, int]) -> float | None:
    """The middle value of a histogram."""
    return percentile(counts, 0.5)


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """What `share` of a histogram's values do not exceed, taken as evenly spread (by ratio)
    inside its bucket; None of an empty one."""
    wanted, so_far = sum(counts.values()) * share, 0
    for bucket, count in sorted(counts.items()):
        if so_far + count >= wanted and count:
            inside = (wanted - so_far) / count
            return float(math.pow(2, (bucket + inside) / BUCKETS_PER_DOUBLING))
        so_far += count
    return None


def recent(models: Collection[str], *, days: int = 7) -> dict[str, Figures]:
    """Each model's figures over the last days; a model without any has none."""
    rows = ModelHour.objects.filter(model__in=models, hour__gte=_since(days))
    found: dict[str, Figures] = defaultdict(Figures)
    for row in _summed(rows, "model"):
        found[row["model"]].note(row["measure"], row["bucket"], row["total"])
    return dict(found)


def totals(models: Collection[str]) -> dict[str, tuple[int, int]]:
    """Answered and failed requests of each model, from the start of the hour before this one."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    rows = ModelHour.objects.filter(
        model__in=models, hour__gte=hour, measure__in=[Measure.SERVED, Measure.FAILED]
    )
    found = {model: Figures() for model in models}
    for row in _summed(rows, "model"):
        found[row["model"]].note(row["measure"], row["bucket"], row["total"])
    return {model: (one.served, one.failed) for model, one in found.items()}


def daily(model: str, *, days: int = 30) -> dict[date, Figures]:
    """One model's figures per UTC day, for the last `days` days, today included."""
    first = timezone.now().date() - timedelta(days - 1)
    rows = ModelHour.objects.filter(
        model=model, hour__gte=datetime.combine(first, datetime.min.time(), timezone.now().tzinfo)
    )
    found = {first + timedelta(n): Figures() for n in range(days)}
    for row in _summed(rows.annotate(day=TruncDay("hour")), "day"):
        figures = found.get(row["day"].date())
        if figures is not None:
            figures.note(row["measure"], row["bucket"], row["total"])
    return found


def _summed(rows: Any, key: str) -> Iterable[dict[str, Any]]:
    sums: Iterable[dict[str, Any]] = (
        rows.order_by().values(key, "measure", "bucket").annotate(total=Sum("requests"))
    )
    return sums


def _since(days: int) -> datetime:
    return timezone.now() - timedelta(days)
