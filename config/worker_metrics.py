"""A worker's own metrics endpoint: how far the work is behind, as the database says.

Every worker tells the same figures, so that it does not matter which one is scraped. Off unless
`TTONK_WORKER_METRICS_PORT` names a port.
"""

import hmac
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings
from django.db import DatabaseError, connection
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from billing import gauges

log = logging.getLogger(__name__)

GAUGES = {
    "ttonk_database_unavailable": "Whether the worker cannot ask the database.",
    "ttonk_operator_loss_usd": "Charges that no wallet paid, in USD, since the beginning.",
    "ttonk_deltas_unfolded": "Outbox rows not yet added to the platform accounts.",
    "ttonk_payments_parked": "Payments that wait for an operator to look at them.",
    "ttonk_holds_pending": "Holds of all gateways.",
    "ttonk_holds_overdue": "Holds whose gateway stopped extending them, not expired yet.",
    "ttonk_hold_overdue_seconds": "By how long the oldest of them is overdue.",
    "ttonk_rollup_lag_seconds": "Age of the oldest usage record that is in no rollup.",
    "ttonk_mail_waiting_seconds": "Age of the oldest mail the mail server has not taken.",
    "ttonk_webhooks_waiting": "Webhook deliveries that are waiting for their next attempt.",
    "ttonk_webhook_overdue_seconds": "For how long the oldest due webhook delivery has been due.",
    "ttonk_bill_days_drifting": "Days and models of upstreams' bills that drift from our usage.",
    "ttonk_partition_months_ahead": "Months after this one that have partitions already.",
    "ttonk_partition_default_rows": "Transfers and usage records in no month's partition.",
    "ttonk_partition_months_overdue": "Months older than the retention, not archived yet.",
}


class _Platform(Collector):
    def describe(self) -> Iterable[Metric]:
        """Registering asks for the names; the database need not be asked for them."""
        return []

    def collect(self) -> Iterator[Metric]:
        for name, value in _read().items():
            yield GaugeMetricFamily(name, GAUGES[name], value=value)


def _read() -> dict[str, float]:
    try:
        now = gauges.read()
    except DatabaseError as error:
        log.warning("the gauges could not be read: %s", error)
        return {"ttonk_database_unavailable": 1}
    finally:
        # Scrapes are rare, and a connection kept would be inherited by forked children.
        connection.close()
    return {
        "ttonk_database_unavailable": 0,
        "ttonk_operator_loss_usd": now.operator_loss_nanos / 1_000_000_000,
        "ttonk_deltas_unfolded": now.deltas_unfolded,
        "ttonk_payments_parked": now.payments_parked,
        "ttonk_holds_pending": now.holds_pending,
        "ttonk_holds_overdue": now.holds_overdue,
        "ttonk_hold_overdue_seconds": now.hold_overdue_seconds,
        "ttonk_rollup_lag_seconds": now.rollup_lag_seconds,
        "ttonk_mail_waiting_seconds": now.mail_waiting_seconds,
        "ttonk_webhooks_waiting": now.webhooks_waiting,
        "ttonk_webhook_overdue_seconds": now.webhook_overdue_seconds,
        "ttonk_bill_days_drifting": now.bill_days_drifting,
        "ttonk_partition_months_ahead": now.partition_months_ahead,
        "ttonk_partition_default_rows": now.partition_default_rows,
        "ttonk_partition_months_overdue": now.partition_months_overdue,
    }


class _Quiet(WSGIRequestHandler):
    timeout = 5  # seconds that a silent client may hold the one thread

    def log_message(self, *_: Any) -> None:
        """A scrape is no news."""


def application() -> Callable[..., Iterable[bytes]]:
    """The WSGI application: `/metrics`, for whoever sends the token where one is set."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Platform())
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        sent = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        wanted = f"Bearer {settings.METRICS_TOKEN}".encode() if settings.METRICS_TOKEN else sent
        if environ["PATH_INFO"] != "/metrics" or not hmac.compare_digest(sent, wanted):
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        return metrics(environ, start_response)

    return answer


def serve(**_: Any) -> WSGIServer | None:
    """Answer in a thread of its own until the worker ends. A port that is taken is only logged:
    the work matters more."""
    if not settings.WORKER_METRICS_PORT:
        return None
    address = (settings.WORKER_METRICS_HOST, settings.WORKER_METRICS_PORT)
    try:
        server = make_server(*address, application(), handler_class=_Quiet)
    except OSError as error:
        log.error("no metrics on %s:%d: %s", *address, error)
        return None
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return server
