"""/status: how the service is and was, from probes. What no probe has told is not claimed."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db.utils import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from gateway import history
from gateway.history import Day
from gateway.models import Incident, ProbeMinute, State
from providers.models import Model, Provider

_CORE_NAMES: tuple[str | Promise, ...] = (
    gettext_lazy("API gateway"),
    gettext_lazy("Database"),
    gettext_lazy("Rate limits (Valkey)"),
)
_WORDS = {State.UP: "up", State.DEGRADED: "degraded", State.DOWN: "down"}
UNKNOWN = "unknown"
# A list longer than this is for nobody to read.
MODELS_MAX = 60
_AWAY_KEY = "status-database-away"
_AWAY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Component:
    """One line of the page. `state` is up, degraded, down, or unknown."""

    key: str
    name: str
    group: str
    latest: ProbeMinute | None
    days: list[Day]
    is_probed: bool

    @property
    def state(self) -> str:
        return _WORDS[State(self.latest.state)] if self.latest else UNKNOWN

    @property
    def label(self) -> str:
        if self.latest:
            return str(State(self.latest.state).label)
        is_quiet = self.is_probed and self.group != "core"
        return _("No recent requests") if is_quiet else _("No recent data")

    @property
    def up_percent(self) -> float | None:
        minutes = sum(day.minutes for day in self.days)
        down = sum(day.down_minutes for day in self.days)
        return 100 * (minutes - down) / minutes if minutes else None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page and its JSON say."""

    at: datetime
    state: str
    groups: list[tuple[str, list[Component]]]
    incidents: list[tuple[str, Incident]]
    checked_at: datetime | None


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    report = _report_or_none()
    if report is not None:
        return render(
            request, "gateway/status.html", {"report": report, "headline": _headline(report)}
        )
    # Whoever is signed in cannot be looked up either.
    request.user = AnonymousUser()
    return render(request, "gateway/status_away.html", status=503)


@require_safe
def document(request: HttpRequest) -> HttpResponse:
    """`/status.json`: the same for programs, from any origin."""
    report = _report_or_none()
    if report is not None:
        answer = JsonResponse(_json(report))
    else:
        core = {"id": "database", "name": "Database", "status": "down"}
        answer = JsonResponse({"status": "down", "components": [core], "incidents": []}, status=503)
    answer["Access-Control-Allow-Origin"] = "*"
    answer["Cache-Control"] = "no-store"
    return answer


def _report_or_none() -> Report | None:
    """None while the database is away. Whoever finds that out waits for it; those who ask in the
    next seconds are told at once."""
    with suppress(redis.RedisError):
        if cache.get(_AWAY_KEY):
            return None
    try:
        return _report()
    except OperationalError:
        with suppress(redis.RedisError):
            cache.set(_AWAY_KEY, True, _AWAY_SECONDS)
        return None


def _report() -> Report:
    named = _components()
    keys = [key for _group, key, _name in named]
    now = timezone.now()
    latest, days = history.now_of(keys, now), history.days_of(keys, now.date())
    is_probed = history.is_recent(now)
    groups: dict[str, list[Component]] = {}
    for group, key, name in named:
        one = Component(key, name, group, latest.get(key), days[key], is_probed)
        groups.setdefault(group, []).append(one)
    names = {key: name for _group, key, name in named}
    return Report(
        at=now,
        state=_overall(groups),
        groups=[(_titles()[group], members) for group, members in groups.items()],
        incidents=[(names[one.component], one) for one in history.incidents(keys)],
        checked_at=max((row.minute for row in latest.values()), default=None),
    )


def _components() -> list[tuple[str, str, str]]:
    """Group, key and name of each: what the service is made of now."""
    names = zip(history.CORE, _CORE_NAMES, strict=True)
    core = [("core", key, str(name)) for key, name in names]
    providers = Provider.objects.filter(channels__is_enabled=True, channels__model__is_enabled=True)
    models = Model.objects.filter(is_enabled=True)[:MODELS_MAX]
    return [
        *core,
        *[
            ("providers", f"provider:{one.slug}", one.name)
            for one in providers.order_by("name").distinct()
        ],
        *[("models", f"model:{one.name}", one.name) for one in models],
    ]


def _titles() -> dict[str, str]:
    return {"core": _("Service"), "providers": _("Providers"), "models": _("Models")}


def _overall(groups: dict[str, list[Component]]) -> str:
    """Down where the service is, degraded where anything is not up, and up only where each part
    of the service was found up a moment ago."""
    core = {one.state for one in groups["core"]}
    every = {one.state for members in groups.values() for one in members}
    if "down" in core:
        return "down"
    if UNKNOWN in core:
        return UNKNOWN
    return "degraded" if every & {"down", "degraded"} else "up"


def _headline(report: Report) -> str:
    return {
        "up": _("Everything we probe is working"),
        "degraded": _("Some parts have trouble"),
        "down": _("The service is down"),
        UNKNOWN: _("No recent data"),
    }[report.state]


def _json(report: Report) -> dict[str, Any]:
    return {
        "status": report.state,
        "checked_at": report.checked_at,
        "components": [
            {
                "id": one.key,
                "name": one.name,
                "status": one.state,
                "note": one.latest.note if one.latest else "",
                "milliseconds": one.latest.milliseconds if one.latest else None,
                "checked_at": one.latest.minute if one.latest else None,
                "up_percent_90_days": None if one.up_percent is None else round(one.up_percent, 3),
            }
            for _title, members in report.groups
            for one in members
        ],
        "incidents": [
            {
                "component": one.component,
                "status": _WORDS[State(one.state)],
                "note": one.note,
                "started_at": one.started_at,
                "ended_at": one.ended_at,
            }
            for _name, one in report.incidents
        ],
    }
