"""The counts of `gateway.metrics` and the state beside them, as Prometheus reads them.

Several processes behind one port (`uvicorn --workers`) share a folder, `PROMETHEUS_MULTIPROC_DIR`:
each writes what it has counted every second, and whichever is scraped adds all of it up.
Everything is therefore a sum, also the gauges: `ttonk_ledger_unavailable` is how many processes
cannot reach the ledger.
"""

import asyncio
import hmac
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client import generate_latest as generate
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.definitions import COUNTERS, GAUGES, HISTOGRAMS
from gateway.metrics import Histogram
from gateway.requests import client_address
from gateway.services import Services

WRITE_SECONDS = 1.0
# A process that has not written for so long is gone: what it counted stays, its state does not.
GONE_SECONDS = 15.0
_LOOPBACK = ("127.0.0.1", "::1")
_FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip")

# Values by their labels' values, in the order of the definition.
Values = dict[tuple[str, ...], float]
Distributions = dict[tuple[str, ...], list[float]]


class Snapshot(msgspec.Struct):
    """One process at one moment, by the metrics' names. A histogram is its counts per bucket,
    then its sum."""

    counters: dict[str, Values]
    gauges: dict[str, Values]
    histograms: dict[str, Distributions]


def is_allowed(scope: dict[str, Any]) -> bool:
    """Whether this caller may read the metrics: whoever sends the token, where one is set; else
    this machine only, and nothing that a proxy passed on."""
    headers = dict(scope["headers"])
    if settings.METRICS_TOKEN:
        sent = headers.get(b"authorization", b"")
        return hmac.compare_digest(sent, b"Bearer " + settings.METRICS_TOKEN.encode())
    is_direct = not any(name in headers for name in _FORWARDED)
    return is_direct and client_address(scope) in _LOOPBACK


async def answer(services: Services, send: Any) -> None:
    """The whole exposition. Rendered in a thread: exchanges go on meanwhile."""
    own = snapshot(services)
    body = await asyncio.to_thread(_render, own)
    headers = [
        (b"content-type", CONTENT_TYPE_LATEST.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def snapshot(services: Services) -> Snapshot:
    """What this process would say alone."""
    metrics = services.metrics
    counters: dict[str, Values] = {
        "ttonk_limiter_decisions": {
            ("allowed", ""): metrics.allowed,
            **{("refused", kind): count for kind, count in metrics.refused.items()},
        },
        "ttonk_limiter_local_decisions": {(): services.limiter.local_decisions},
        "ttonk_limiter_lane_breaks": {(): services.limiter.lane.breaks},
        "ttonk_captures_lost": {(): metrics.captures_lost},
        "ttonk_retries_refused": {(): services.retries.refused},
        "ttonk_error_answers": {
            (str(status), code): count for (status, code), count in metrics.errors.items()
        },
    }
    histograms: dict[str, Distributions] = {
        "ttonk_before_upstream_seconds": {(): _values(metrics.before_upstream)},
        "ttonk_settle_seconds": {(): _values(metrics.settling)},
        "ttonk_commit_seconds": {(): _values(metrics.commit_seconds)},
        "ttonk_commit_items": {(): _values(metrics.commit_items)},
    }
    gauges = _state(services)
    _add_models(services, counters, histograms)
    _add_channels(services, counters, gauges)
    return Snapshot(counters, gauges, histograms)


def _values(histogram: Histogram) -> list[float]:
    return [*histogram.counts, histogram.sum]


def _state(services: Services) -> dict[str, Values]:
    running = services.watch.running()
    waiting, refused = services.spool.count()
    return {
        "ttonk_gateway_processes": {(): 1},
        "ttonk_exchanges_in_flight": {(): len(running)},
        "ttonk_body_bytes": {(): services.body_bytes},
        "ttonk_tasks": {(): len(asyncio.all_tasks())},
        "ttonk_holds_in_flight": {(): sum(not exchange.is_settled for exchange in running)},
        "ttonk_commit_queue_length": {(): services.ledger.queue_length},
        "ttonk_ledger_unavailable": {(): int(not services.ledger.is_available)},
        "ttonk_limiter_lane_down": {(): int(not services.limiter.lane.is_ready)},
        "ttonk_spool_files": {("waiting",): waiting, ("refused",): refused},
    }


def _add_models(
    services: Services,
    counters: dict[str, Values],
    histograms: dict[str, Distributions],
) -> None:
    requests: Values = {}
    tokens: Values = {}
    spend: Values = {}
    durations: Distributions = {}
    firsts: Distributions = {}
    for name, model in services.metrics.models.items():
        for (reason, status), count in model.requests.items():
            key = (name, f"{status // 100}xx", reason)
            requests[key] = requests.get(key, 0) + count
        for kind in ("input", "cached_input", "cache_write", "output", "reasoning_output"):
            tokens[name, kind] = getattr(model, f"{kind}_tokens")
        spend[name,] = model.charge_nanos / 1_000_000_000
        durations[name,] = _values(model.duration)
        firsts[name,] = _values(model.first_token)
    counters |= {"ttonk_requests": requests, "ttonk_tokens": tokens, "ttonk_spend_usd": spend}
    histograms |= {"ttonk_request_seconds": durations, "ttonk_first_token_seconds": firsts}


def _add_channels(
    services: Services, counters: dict[str, Values], gauges: dict[str, Values]
) -> None:
    attempts: Values = {}
    failures: Values = {}
    cooling: Values = {}
    now = time.monotonic()
    for model in services.routes.catalog.models.values():
        for channel in model.channels:
            key = (str(channel.id), channel.provider, model.name)
            attempts[key] = channel.health.attempts
            cooling[key] = int(channel.health.cools_until > now)
            for kind, count in channel.health.failed.items():
                failures[*key, kind] = count
    counters |= {"ttonk_channel_attempts": attempts, "ttonk_channel_failures": failures}
    gauges["ttonk_channel_cooling"] = cooling


# --- as Prometheus reads it -------------------------------------------------------------------


class _Families(Collector):
    def __init__(self, snapshots: list[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        for name, (text, labels) in COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            for key, value in _sum(one.counters.get(name, {}) for one in self._snapshots).items():
                counter.add_metric(key, value)
            yield counter
        for name, (text, labels) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=labels)
            for key, value in _sum(one.gauges.get(name, {}) for one in self._snapshots).items():
                gauge.add_metric(key, value)
            yield gauge
        for name in HISTOGRAMS:
            yield self._histogram(name)

    def _histogram(self, name: str) -> HistogramMetricFamily:
        text, labels, bounds = HISTOGRAMS[name]
        family = HistogramMetricFamily(name, text, labels=labels)
        totals: Distributions = {}
        for one in self._snapshots:
            for key, values in one.histograms.get(name, {}).items():
                known = totals.get(key)
                totals[key] = (
                    [a + b for a, b in zip(known, values, strict=True)] if known else values
                )
        for key, (*counts, total) in totals.items():
            so_far, buckets = 0.0, []
            for bound, count in zip((*bounds, float("inf")), counts, strict=True):
                so_far += count
                buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), so_far))
            family.add_metric(key, buckets, total)
        return family


def _sum(parts: Iterable[Values]) -> Values:
    total: Values = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return total


def _render(own: Snapshot) -> bytes:
    registry = CollectorRegistry()
    if _folder() is None:
        # Of one process among several it would say what nobody asked.
        ProcessCollector(registry=registry)
    registry.register(_Families([own, *_others()]))
    return generate(registry)


# --- several processes ------------------------------------------------------------------------

_decoder = msgspec.msgpack.Decoder(Snapshot)
_own_file = f"ttonk-{os.getpid()}-{time.time_ns()}.metrics"


def _folder() -> Path | None:
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    return Path(name) if name else None


async def share_forever(services: Services) -> None:
    """Write this process's counts into the shared folder, where there is one. At its end too."""
    folder = _folder()
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        while True:
            await asyncio.to_thread(_write, folder / _own_file, snapshot(services))
            await asyncio.sleep(WRITE_SECONDS)
    finally:
        last = snapshot(services)
        last.gauges = {}
        _write(folder / _own_file, last)


def _write(path: Path, own: Snapshot) -> None:
    # A full disk must not end the sharing, nor the process.
    with suppress(OSError):
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.msgpack.encode(own))
        temporary.rename(path)


def _others() -> Iterator[Snapshot]:
    folder = _folder()
    for path in folder.glob("ttonk-*.metrics") if folder else ():
        if path.name == _own_file:
            continue
        with suppress(OSError, msgspec.DecodeError):
            one = _decoder.decode(path.read_bytes())
            if time.time() - path.stat().st_mtime > GONE_SECONDS:
                one.gauges = {}
            yield one
