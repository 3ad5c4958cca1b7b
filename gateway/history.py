"""The status page's memory: minutes, days and incidents of each component, and reading them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from django.core.cache import cache
from django.db import connection, transaction
from django.db.utils import OperationalError
from django.utils import timezone

from gateway import heartbeats
from gateway.models import Incident, ProbeDay, ProbeMinute, State

if TYPE_CHECKING:  # the probes are the worker's, with what they ask with
    from gateway.probes import Finding

log = logging.getLogger(__name__)

# What the service itself is made of; without it nothing else works.
CORE = ("api", "database", "valkey")
MINUTES_KEPT = timedelta(days=2)
DAYS = 90
# Without a probe for so long nothing is claimed of a component.
RECENT = timedelta(minutes=3)
# One that fails again this soon goes on with the same incident.
_SAME_INCIDENT = timedelta(minutes=5)
INCIDENTS_MAX = 30
# What was found while the database was away waits in the cache; six hours of it at most.
_WAITING_KEY = "probes-waiting"
_WAITING_MAX = 360
_WAITING_SECONDS = 86_400

# A probe of a minute that has one already changes nothing: two beats are as one.
_INSERT = """
WITH fresh AS (
    INSERT INTO gateway_probeminute AS old (component, minute, state, milliseconds, note)
    SELECT * FROM unnest(%(components)s::text[], %(minutes)s::timestamptz[], %(states)s::int[],
        %(milliseconds)s::int[], %(notes)s::text[])
    ON CONFLICT (component, minute) DO NOTHING RETURNING component, minute, state
)
INSERT INTO gateway_probeday AS total (component, day, up, degraded, down)
SELECT component, (minute AT TIME ZONE 'UTC')::date, count(*) FILTER (WHERE state = 1),
    count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3)
FROM fresh GROUP BY 1, 2
ON CONFLICT (component, day) DO UPDATE SET up = total.up + excluded.up,
    degraded = total.degraded + excluded.degraded, down = total.down + excluded.down
"""

Minute = tuple[datetime, "list[Finding]"]


def note(found: list[Finding], at: datetime | None = None) -> None:
    """Write down one minute's findings, and those that waited for the database."""
    minute = (at or timezone.now()).replace(second=0, microsecond=0)
    waiting = _waiting()
    try:
        for one in [*waiting, (minute, found)]:
            _write(*one)
        _prune()
    except OperationalError as error:
        log.warning("the probes' findings wait for the database: %s", error)
        cache.set(_WAITING_KEY, [*waiting, (minute, found)][-_WAITING_MAX:], _WAITING_SECONDS)
    else:
        if waiting:
            cache.delete(_WAITING_KEY)


def _waiting() -> list[Minute]:
    try:
        waiting: list[Minute] = cache.get(_WAITING_KEY, [])
    except Exception:  # the cache is what is away: what waits in it waits on
        return []
    return waiting


def _write(minute: datetime, found: Sequence[Finding]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            {
                "components": [one.component for one in found],
                "minutes": [minute] * len(found),
                "states": [int(one.state) for one in found],
                "milliseconds": [one.milliseconds for one in found],
                "notes": [one.note for one in found],
            },
        )
        _follow_incidents(minute, found)


def _follow_incidents(minute: datetime, found: Sequence[Finding]) -> None:
    """Begin, worsen or end the incident of each component."""
    names = [one.component for one in found]
    latest: dict[str, Incident] = {}
    rows = Incident.objects.select_for_update().filter(component__in=names)
    recent = rows.exclude(ended_at__lt=minute - _SAME_INCIDENT)
    for incident in recent.order_by("started_at"):
        latest[incident.component] = incident
    for one in found:
        incident = latest.get(one.component)  # type: ignore[assignment]
        if one.state is not State.UP:
            _worsen(incident, one, minute)
        elif incident is not None and incident.ended_at is None:
            incident.ended_at = minute
            incident.save(update_fields=["ended_at"])


def _worsen(incident: Incident | None, finding: Finding, minute: datetime) -> None:
    if incident is None:
        Incident.objects.create(
            component=finding.component, state=finding.state, note=finding.note, started_at=minute
        )
        return
    if finding.state > incident.state:
        incident.state, incident.note = finding.state, finding.note
    incident.ended_at = None
    incident.save(update_fields=["state", "note", "ended_at"])


def _prune() -> None:
    now = timezone.now()
    ProbeMinute.objects.filter(minute__lt=now - MINUTES_KEPT).delete()
    ProbeDay.objects.filter(day__lt=(now - timedelta(DAYS)).date()).delete()
    Incident.objects.filter(ended_at__lt=now - timedelta(DAYS)).delete()
    heartbeats.prune()


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """One bar: a component's UTC day."""

    day: date
    minutes: int
    bad_minutes: int
    down_minutes: int

    @property
    def up_percent(self) -> float | None:
        """Of the minutes that were probed, those in which it was not down."""
        return 100 * (self.minutes - self.down_minutes) / self.minutes if self.minutes else None

    @property
    def kind(self) -> str:
        """The bar's class: nothing known, all well, some trouble, down for long."""
        if not self.minutes:
            return "none"
        if self.down_minutes >= 30 or self.down_minutes * 20 >= self.minutes:
            return "down"
        return "degraded" if self.bad_minutes else "up"


def now_of(components: Collection[str], at: datetime | None = None) -> dict[str, ProbeMinute]:
    """Each component's latest probe, where that is recent."""
    since = (at or timezone.now()) - RECENT
    rows = ProbeMinute.objects.filter(component__in=components, minute__gte=since)
    return {row.component: row for row in rows.order_by("minute")}


def is_recent(at: datetime | None = None) -> bool:
    """Whether probes are being taken at all."""
    return ProbeMinute.objects.filter(minute__gte=(at or timezone.now()) - RECENT).exists()


def core_state(at: datetime | None = None) -> State | None:
    """The worst of the service's own components; None where one was not probed lately."""
    latest = now_of(CORE, at)
    if len(latest) < len(CORE):
        return None
    return max(State(row.state) for row in latest.values())


def days_of(components: Collection[str], today: date | None = None) -> dict[str, list[Day]]:
    """The last ninety days of each, oldest first; days without a probe are empty."""
    last = today or datetime.now(UTC).date()
    first = last - timedelta(DAYS - 1)
    counted: dict[str, dict[date, ProbeDay]] = defaultdict(dict)
    for row in ProbeDay.objects.filter(component__in=components, day__gte=first, day__lte=last):
        counted[row.component][row.day] = row
    span = [first + timedelta(n) for n in range(DAYS)]
    return {name: [_day(day, counted[name].get(day)) for day in span] for name in components}


def _day(day: date, row: ProbeDay | None) -> Day:
    if row is None:
        return Day(day, 0, 0, 0)
    bad = row.degraded + row.down
    return Day(day, row.up + bad, bad, row.down)


def incidents(components: Collection[str]) -> list[Incident]:
    """The latest of these components', open ones first."""
    rows = Incident.objects.filter(component__in=components)
    latest = list(rows.order_by("-started_at")[:INCIDENTS_MAX])
    return sorted(latest, key=lambda one: one.ended_at is not None)
