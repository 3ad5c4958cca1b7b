"""A worker's round: due deliveries sent side by side, and each written down when it is over."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from accounts.webhooks import deliveries
from accounts.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookEvent

PLACES = 16
# Endpoints whose last attempt failed share these: they are the ones that take long.
PLACES_OF_FAILING = 6
# New deliveries are taken up for so long; those under way then end within their own limits.
ROUND_SECONDS = 10.0
_LOOK_SECONDS = 0.5
KEPT = timedelta(days=30)
_PRUNED_AT_ONCE = 1_000
# One round runs at a time in the whole installation, so that receivers which keep us waiting take
# one of the workers' processes, and never all. The lock goes with its connection.
_LOCK = 0x7_7E_B4_00_C5

Flights = dict["Future[deliveries.Sent]", WebhookDelivery]


def run(seconds: float = ROUND_SECONDS) -> int:
    """Deliver what is due; returns how many attempts were made. 0 where another worker is at it."""
    with _alone() as is_alone:
        return _fly(seconds) if is_alone else 0


@contextmanager
def _alone() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _fly(seconds: float) -> int:
    until = time.monotonic() + seconds
    flying: Flights = {}
    made = 0
    # Only the sending happens in threads: the database is this one's.
    with ThreadPoolExecutor(PLACES, thread_name_prefix="webhooks") as pool:
        while True:
            if time.monotonic() < until:
                for delivery in _take(flying):
                    flying[pool.submit(deliveries.send, delivery)] = delivery
            if not flying:
                return made
            done, _ = wait(flying, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                deliveries.record(flying.pop(future), future.result())
                made += 1


def _take(flying: Flights) -> list[WebhookDelivery]:
    """What fits into the free places."""
    failing = sum(one.endpoint.failing_since is not None for one in flying.values())
    free = PLACES - len(flying)
    taken = deliveries.claim(min(free, PLACES_OF_FAILING - failing), failing=True)
    return taken + deliveries.claim(free - len(taken))


def prune() -> int:
    """Take out events that happened longer ago than `KEPT`, with all that was sent of them, and
    secrets that no longer sign; returns how many events."""
    now = timezone.now()
    WebhookEndpoint.objects.filter(old_secret_until__lte=now).update(
        old_secret="", old_secret_until=None
    )
    old = WebhookEvent.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    pks = list(old.values_list("pk", flat=True)[:_PRUNED_AT_ONCE])
    WebhookEvent.objects.filter(pk__in=pks).delete()
    return len(pks)
