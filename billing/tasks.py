"""Celery tasks: each wakes, makes one bounded call and forgets. The rows are the queue."""

import logging

from celery import shared_task
from django.conf import settings

from billing import (
    alerts,
    erasure,
    invoices,
    latency,
    ledger,
    margins,
    measurements,
    partitions,
    renewals,
    rollups,
    spend_caps,
    thresholds,
)
from billing.bills import alarms, matching
from billing.payments import automatic_runs, events, orders

log = logging.getLogger(__name__)

# One run adds at most this many of the outbox's rows, each step in a commit of its own.
_FOLDED_AT_ONCE = 10_000
_FOLDS_MAX = 50


@shared_task
def expire_holds() -> int:
    """Settle holds whose gateway has stopped extending them."""
    until = ledger.begin_sweep()
    return 0 if until is None else ledger.expire_due(limit=2_000, until=until)


@shared_task
def fold_deltas() -> int:
    """Add the outbox's rows to the platform accounts, until few are left."""
    folded = 0
    for _ in range(_FOLDS_MAX):
        step = ledger.fold_deltas(limit=_FOLDED_AT_ONCE)
        folded += step
        if step < _FOLDED_AT_ONCE:
            break
    return folded


@shared_task
def roll_up_usage() -> int:
    """Add new usage records to the hourly and daily sums."""
    return rollups.roll_up()


@shared_task
def prune_measurements() -> int:
    """Take out what was measured of models longer ago than pages show."""
    return measurements.prune() + latency.prune()


@shared_task
def mail_low_balances() -> int:
    """Tell organizations once per dip that their balance is low."""
    return alerts.mail_low_balances()


@shared_task
def mail_spend_alerts() -> int:
    """Tell organizations once a month that their usage has reached what they set."""
    return thresholds.mail_alerts()


@shared_task
def mail_spend_caps() -> int:
    """Tell organizations once a month that their cap refuses requests."""
    return spend_caps.mail_reached()


@shared_task
def process_payment_events() -> int:
    """Credit what providers have told of."""
    return events.process_due()


@shared_task
def top_up_automatically() -> int:
    """Charge the saved card of whoever is below their threshold."""
    return automatic_runs.run()


@shared_task
def ask_about_payments() -> int:
    """Ask providers about payments that nobody has told of."""
    return orders.ask_stale()


@shared_task
def forget_customers() -> int:
    """Have payment providers forget the customers of erased organizations."""
    return erasure.forget_customers()


@shared_task
def close_months() -> int:
    """Invoice the month before this one, once it is over."""
    return invoices.close_due_months()


@shared_task
def renew_plans() -> int:
    """Charge the fees that are due, try unpaid ones again, and end trials."""
    return renewals.run()


@shared_task
def keep_margins() -> int:
    """Read revenue and margin of the periods that pages offer ahead of them."""
    return margins.keep()


@shared_task
def compare_bills() -> int:
    """Compare upstreams' bills again while late records settle, and tell operators of drift."""
    compared = matching.compare_open()
    alarms.tell()
    return compared


@shared_task
def make_partitions() -> int:
    """Make the months' partitions ahead of their rows."""
    return len(partitions.make_ahead())


@shared_task
def report_retention() -> int:
    """Name the months that are older than is to be kept. A person archives them."""
    months = partitions.overdue(settings.RETENTION_MONTHS)
    if months:
        names = ", ".join(f"{month:%Y-%m}" for month in months)
        log.warning("older than the retention, for archive_month: %s", names)
    return len(months)
