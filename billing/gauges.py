"""How far the workers are behind, and what the platform lost: read at a scrape."""

from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from billing import partitions

_TIMEOUT = "SET LOCAL statement_timeout = '5s'"
_READ = """
SELECT
    (SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM (
        SELECT debits_posted, credits_posted FROM billing_account WHERE kind = 'operator_loss'
        UNION ALL
        SELECT debits_posted, credits_posted FROM billing_accountdelta
        WHERE kind = 'operator_loss') AS side)::bigint,
    (SELECT count(*) FROM billing_accountdelta),
    (SELECT count(*) FROM billing_paymentevent WHERE state = 'parked')
        + (SELECT count(*) FROM billing_paymentorder WHERE state = 'parked'),
    pending.all_of_them, pending.overdue, pending.overdue_seconds,
    (SELECT coalesce(extract(epoch FROM now() - min(charged_at)), 0)::float8
     FROM billing_usagerecord WHERE xid >= (SELECT max(xid) FROM billing_rollupwatermark)),
    (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
     FROM accounts_outgoingmail),
    webhooks.waiting, webhooks.overdue_seconds,
    (SELECT count(*) FROM billing_reconciledday AS day JOIN billing_upstreambill AS bill
     ON bill.id = day.bill_id
     WHERE day.is_alarming AND bill.superseded_by_id IS NULL AND bill.accepted_at IS NULL)
FROM (
    SELECT count(*) AS all_of_them, count(*) FILTER (WHERE expires_at < now()) AS overdue,
        coalesce(extract(epoch FROM now() - min(expires_at) FILTER (WHERE expires_at < now())), 0)
            ::float8 AS overdue_seconds
    FROM billing_transfer WHERE state = 'pending'
) AS pending, (
    SELECT count(*) AS waiting,
        coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at < now())), 0)
            ::float8 AS overdue_seconds
    FROM accounts_webhookdelivery AS one
    JOIN accounts_webhookendpoint AS endpoint ON endpoint.id = one.endpoint_id
    WHERE one.state = 'waiting' AND endpoint.is_enabled
) AS webhooks
"""


@dataclass(frozen=True, slots=True)
class Gauges:
    """One moment of the platform."""

    operator_loss_nanos: int
    deltas_unfolded: int
    payments_parked: int
    holds_pending: int
    holds_overdue: int
    hold_overdue_seconds: float  # the oldest one's
    rollup_lag_seconds: float  # the age of the oldest record that no page shows yet
    mail_waiting_seconds: float  # the age of the oldest mail that the mail server has not taken
    webhooks_waiting: int  # deliveries, those whose next attempt is hours away among them
    webhook_overdue_seconds: float  # of the delivery that has been due the longest
    bill_days_drifting: int  # of upstreams' bills, above the threshold, accepted by nobody
    partition_months_ahead: int  # after this month; -1 where even this one has none
    partition_default_rows: int  # that lie in no month's partition
    partition_months_overdue: int  # older than is to be kept, and not archived


def read() -> Gauges:
    """Raises Django's `DatabaseError` where the database does not answer within seconds."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TIMEOUT)
        cursor.execute(_READ)
        figures = cursor.fetchone()
        now = partitions.state()
        overdue = len(partitions.overdue(settings.RETENTION_MONTHS))
        return Gauges(*(*figures, now.ahead, now.default_rows, overdue))
