"""What the platform earns, loses and waits for, for the operator's front page.

From the sums per day and the gauges; never from single requests. A worker sums the days before
today every few minutes; the page adds today, and is kept for half a minute.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Self

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.models import Sum

from accounts.models import Organization
from billing import gauges, margins
from billing.bills import matching
from billing.gauges import Gauges
from billing.models import (
    AdjustmentRequest,
    AdjustmentState,
    Dispute,
    DisputeState,
    UsageDay,
)
from billing.payments import orders
from billing.periods import today
from gateway import heartbeats
from providers.models import Channel

DAYS = 30
ROWS_MAX = 10
_KEPT_SECONDS = 30
_PAST_KEPT_SECONDS = 3600
_CUSTOMERS_KEPT = 500
_CACHE_KEY = "operations"


@dataclass(frozen=True, slots=True)
class Line:
    """One model, customer or day."""

    name: str
    pk: int
    requests: int
    errors: int
    charge_nanos: int
    share_percent: float = 0.0

    @property
    def errors_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class ChannelLine:
    name: str
    pk: int
    attempts: int
    failing: int  # gateways in which its latest attempt failed
    gateways: int


@dataclass(slots=True)
class Operations:
    total: Line
    today: Line
    models: list[Line]
    customers: list[Line]
    channels: list[ChannelLine]
    gauges: Gauges | None
    gateways: int
    waiting: dict[str, int] = field(default_factory=dict)
    # Of the same days. `unrated` requests have a cost that is not known, and not in it.
    cost_nanos: int | None = None
    unrated: int = 0
    margin_nanos: int | None = None


def read() -> Operations:
    known: Operations | None = cache.get(_CACHE_KEY)
    if known is None:
        known = _read()
        cache.set(_CACHE_KEY, known, _KEPT_SECONDS)
    return known


def sum_past_days() -> int:
    """Sum the whole days before today anew, and keep that: the page's largest part, which a worker
    does every few minutes so that no page waits for it. Returns how many models there were."""
    past = Sums.of(today() - timedelta(DAYS - 1), today())
    cache.set(_past_key(), past, _PAST_KEPT_SECONDS)
    return len(past.models)


def _past_key() -> str:
    return f"operations-before:{today()}"


@dataclass(slots=True)
class Sums:
    """Requests, errors and nanos of some days, by model and by organization."""

    models: dict[str, list[int]]
    # The largest only: they are summed exactly once it is known which are shown.
    organizations: dict[int, list[int]]

    @classmethod
    def of(cls, first: date, end: date) -> Self:
        """Of the days from `first` until before `end`."""
        models: dict[str, list[int]] = {}
        organizations: dict[int, list[int]] = {}
        with connection.cursor() as cursor:
            cursor.execute(_SUMS, {"first": first, "end": end, "most": _CUSTOMERS_KEPT})
            for model, organization, *figures in cursor.fetchall():
                if model is not None:
                    models[model] = figures
                elif organization is not None:
                    organizations[organization] = figures
        return cls(models, organizations)


def _read() -> Operations:
    past: Sums | None = cache.get(_past_key())
    if past is None:
        sum_past_days()
        past = cache.get(_past_key()) or Sums.of(today() - timedelta(DAYS - 1), today())
    fresh = Sums.of(today(), today() + timedelta(1))
    models = [
        Line(name, 0, *_added(past.models.get(name), fresh.models.get(name)))
        for name in {*past.models, *fresh.models}
    ]
    total, now = _together(models), _together(
        [Line(name, 0, *figures) for name, figures in fresh.models.items()]
    )  # fmt: skip
    models.sort(key=lambda one: (-one.charge_nanos, one.name))
    beats = heartbeats.fresh()
    return Operations(
        total=total,
        today=now,
        models=[_with_share(one, total) for one in models[:ROWS_MAX]],
        customers=[_with_share(one, total) for one in _customers(past, fresh)],
        channels=_channels(beats),
        gauges=_gauges(),
        gateways=len(beats),
        waiting=_waiting(),
        **_margin(),
    )


def _margin() -> dict[str, Any]:
    """What the days cost, where anything of them was rated."""
    rated = margins.total(today() - timedelta(DAYS - 1), today())
    if rated.requests == rated.unrated:
        return {"unrated": rated.unrated}
    return {
        "cost_nanos": rated.cost_nanos,
        "margin_nanos": rated.margin_nanos,
        "unrated": rated.unrated,
    }


def _added(*parts: list[int] | None) -> tuple[int, int, int]:
    known = [part for part in parts if part]
    return (
        sum(part[0] for part in known),
        sum(part[1] for part in known),
        sum(part[2] for part in known),
    )


def _customers(past: Sums, fresh: Sums) -> list[Line]:
    """Those who paid most. A few candidates more than are shown are summed exactly."""
    known = {
        pk: _added(past.organizations.get(pk), fresh.organizations.get(pk))
        for pk in {*past.organizations, *fresh.organizations}
    }
    candidates = sorted(known, key=lambda pk: -known[pk][2])[: 2 * ROWS_MAX]
    days = UsageDay.objects.filter(
        organization_id__in=candidates, day__gte=today() - timedelta(DAYS - 1)
    )
    names = Organization.objects.in_bulk(candidates)
    sums = days.order_by().values("organization_id").annotate(
        all_requests=Sum("requests"), all_errors=Sum("errors"), charge=Sum("charge_nanos")
    )  # fmt: skip
    lines = [
        Line(str(names.get(row["organization_id"], row["organization_id"])),
             row["organization_id"], row["all_requests"], row["all_errors"], row["charge"])
        for row in sums
    ]  # fmt: skip
    return sorted(lines, key=lambda one: (-one.charge_nanos, one.name))[:ROWS_MAX]


# Both from one reading of the days.
_SUMS = """
SELECT model, organization_id, requests, errors, charge FROM (
    SELECT model, organization_id, sum(requests)::bigint AS requests,
        sum(errors)::bigint AS errors, sum(charge_nanos)::bigint AS charge,
        row_number() OVER (PARTITION BY grouping(model) ORDER BY sum(charge_nanos) DESC) AS place
    FROM billing_usageday WHERE day >= %(first)s AND day < %(end)s
    GROUP BY GROUPING SETS ((model), (organization_id))
) AS sums
WHERE model IS NOT NULL OR place <= %(most)s
"""


def _together(lines: list[Line]) -> Line:
    return Line(
        "",
        0,
        sum(one.requests for one in lines),
        sum(one.errors for one in lines),
        sum(one.charge_nanos for one in lines),
    )


def _with_share(line: Line, total: Line) -> Line:
    share = 100 * line.charge_nanos / total.charge_nanos if total.charge_nanos else 0.0
    return replace(line, share_percent=share)


def _channels(beats: list[dict[str, Any]]) -> list[ChannelLine]:
    """Enabled channels that were tried lately, those in trouble first."""
    seen: dict[int, list[tuple[int, int]]] = {}
    for beat in beats:
        for channel, (attempts, failures) in beat["channels"].items():
            if attempts:
                seen.setdefault(int(channel), []).append((attempts, failures))
    rows = Channel.objects.filter(pk__in=seen).select_related("model", "provider")
    found = [
        ChannelLine(
            str(row),
            row.pk,
            sum(attempts for attempts, _ in seen[row.pk]),
            sum(bool(failures) for _, failures in seen[row.pk]),
            len(seen[row.pk]),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.failing, -one.attempts))[:ROWS_MAX]


def _gauges() -> Gauges | None:
    try:
        return gauges.read()
    except DatabaseError:
        return None


def _waiting() -> dict[str, int]:
    """What waits for an operator."""
    return {
        "adjustments": AdjustmentRequest.objects.filter(state=AdjustmentState.WAITING).count(),
        "parked": orders.parked(),
        "bills": matching.drifting().count(),
        "disputes": Dispute.objects.filter(state=DisputeState.OPEN).count(),
    }
