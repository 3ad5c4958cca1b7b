"""Probes: how each component customers depend on is, this minute. A worker takes them.

Nothing is guessed: a component that gave nothing to judge by (a model without requests) has no
finding, and shows as "no recent data".
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import redis
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.utils import OperationalError

from billing import measurements
from gateway import heartbeats
from gateway.models import State
from providers.models import Channel, Model

# A worker waits so long for each, and does nothing else meanwhile.
TIMEOUT_SECONDS = 3.0
SLOW_MILLISECONDS = 2_000
# A channel that failed so often in a row, in every process that tried it, is down.
FAILURES_DOWN = 3
# Models are judged by the requests of about this long.
_WINDOW_SECONDS = 330
_FAILED_DEGRADED = 0.05
_FAILED_DOWN = 0.5
_DOWN_REQUESTS_MIN = 3
_TOTALS_KEY = "probes-model-totals"
_TOTALS_KEPT = 6


@dataclass(frozen=True, slots=True)
class Finding:
    component: str
    state: State
    milliseconds: int | None = None
    note: str = ""


def look() -> list[Finding]:
    """Every component that can be judged now. A store that is away is a finding, not an error."""
    found = [_timed("database", _ask_database), _timed("valkey", _ask_valkey), api()]
    if found[0].state is not State.DOWN:
        try:
            found += providers(heartbeats.fresh())
            found += models(time.time())
        except OperationalError:
            found[0] = Finding("database", State.DOWN, note="no answer")
        except redis.RedisError:
            pass  # is a finding already
    return found


def api() -> Finding:
    """The gateway by its public address, as customers reach it."""
    started = time.monotonic()
    try:
        answer = httpx.get(f"{settings.STATUS_PROBE_URL}/readyz", timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError:
        return Finding("api", State.DOWN, note="no answer")
    milliseconds = int((time.monotonic() - started) * 1000)
    if answer.status_code != 200:
        return Finding("api", State.DOWN, milliseconds, "not ready")
    is_slow = milliseconds > SLOW_MILLISECONDS
    return Finding("api", State.DEGRADED if is_slow else State.UP, milliseconds)


def _timed(component: str, ask: Callable[[], None]) -> Finding:
    started = time.monotonic()
    try:
        ask()
    except (OperationalError, redis.RedisError, OSError):
        return Finding(component, State.DOWN, note="no answer")
    milliseconds = int((time.monotonic() - started) * 1000)
    state = State.DEGRADED if milliseconds > SLOW_MILLISECONDS else State.UP
    return Finding(component, state, milliseconds)


def _ask_database() -> None:
    try:
        _select()
    except OperationalError:
        connection.close()  # it may be from before a restart, and the server well
        _select()


def _select() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_valkey() -> None:
    with redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    ) as client:
        client.ping()


def providers(beats: Iterable[dict[str, Any]]) -> list[Finding]:
    """Each provider by its channels' health in the gateways. One that nobody has tried since
    the gateways started has no finding."""
    seen: dict[int, list[int]] = defaultdict(list)
    for beat in beats:
        for channel, (attempts, failures) in beat["channels"].items():
            if attempts:
                seen[int(channel)].append(failures)
    states: dict[str, list[State]] = defaultdict(list)
    rows = Channel.objects.filter(is_enabled=True, model__is_enabled=True, pk__in=seen)
    for pk, slug in rows.values_list("pk", "provider__slug"):
        states[slug].append(_channel_state(seen[pk]))
    return [_provider(slug, found) for slug, found in sorted(states.items())]


def _channel_state(failures: list[int]) -> State:
    if min(failures) >= FAILURES_DOWN:
        return State.DOWN
    return State.DEGRADED if any(failures) else State.UP


def _provider(slug: str, states: list[State]) -> Finding:
    bad = [state for state in states if state is not State.UP]
    if not bad:
        return Finding(f"provider:{slug}", State.UP)
    is_down = all(state is State.DOWN for state in states)
    note = f"{len(bad)} of {len(states)} channels failing"
    return Finding(f"provider:{slug}", State.DOWN if is_down else State.DEGRADED, note=note)


def models(now: float) -> list[Finding]:
    """Each model by the share of its latest requests that failed. The sums of the last probes
    are remembered, and what was added since the oldest of them is judged."""
    names = list(Model.objects.filter(is_enabled=True).values_list("name", flat=True))
    totals = measurements.totals(names)
    seen = [one for one in cache.get(_TOTALS_KEY, []) if now - one[0] < _WINDOW_SECONDS]
    cache.set(_TOTALS_KEY, [*seen[1 - _TOTALS_KEPT :], (now, totals)], _WINDOW_SECONDS)
    if not seen:
        return []
    before = seen[0][1]
    found = []
    for name in names:
        served, failed = (
            new - old for new, old in zip(totals[name], before.get(name, (0, 0)), strict=True)
        )
        if served >= 0 and failed >= 0 and served + failed:
            found.append(_model(name, served, failed))
    return found


def _model(name: str, served: int, failed: int) -> Finding:
    share = failed / (served + failed)
    state = State.UP
    if share >= _FAILED_DOWN and failed >= _DOWN_REQUESTS_MIN:
        state = State.DOWN
    elif share >= _FAILED_DEGRADED:
        state = State.DEGRADED
    note = f"{100 * share:.0f} % of requests failed" if state is not State.UP else ""
    return Finding(f"model:{name}", state, note=note)
