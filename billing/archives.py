"""Old months out of the database: written to files, read back, and only then dropped.

What the rest needs of a dropped month stays as sums (`billing.models.archives`): balances, hours
and days, invoice lines. `prove_ledger` counts them in, so it proves the ledger as before.
"""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from billing import archive_files, partitions, settlements
from billing.archive_files import Damaged
from billing.models import Archive, RollupWatermark

_TRANSFER, _RECORD = partitions.TABLES

# A charge comes up to a month after its request (see billing.invoices), so invoices of the month
# that follows may still need this one's rows.
_UNINVOICED = """
SELECT count(*) FROM {record} u WHERE NOT EXISTS (
    SELECT FROM billing_invoice i WHERE i.organization_id = u.organization_id
      AND i.month = date_trunc('month', u.charged_at AT TIME ZONE 'UTC')::date)
"""
_OPEN = {
    "{} holds are open": "SELECT count(*) FROM {transfer} WHERE state = 'pending'",
    "{} usage records are in no rollup yet": (
        "SELECT count(*) FROM {record} WHERE xid >= (SELECT coalesce(max(xid), 0)"
        " FROM billing_rollupwatermark)"
    ),
    "{} usage records are of months without an invoice (see close_month)": _UNINVOICED,
}

_ACCOUNTS = """
INSERT INTO billing_archivedaccount (archive_id, account_id, debits_posted, credits_posted)
SELECT %(month)s, account_id, sum(debit), sum(credit) FROM (
    SELECT debit_account_id AS account_id, amount_nanos AS debit, 0 AS credit FROM {transfer}
    UNION ALL SELECT credit_account_id, 0, amount_nanos FROM {transfer}
) AS side GROUP BY account_id
"""
_USAGE = f"""
WITH {settlements.BESIDE}
INSERT INTO billing_archivedusage (archive_id, organization_id, project_id, api_key_id, model,
    hour, invoice_id, requests, errors, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_output_tokens, charge_nanos, paid_nanos, loss_nanos)
SELECT %(month)s, u.organization_id, coalesce(u.project_id, 0), coalesce(u.api_key_id, 0), u.model,
    date_trunc('hour', u.charged_at, 'UTC'), coalesce(i.id, 0),
    count(*), count(*) FILTER (WHERE u.status >= 400), sum(u.input_tokens),
    sum(u.cached_input_tokens), sum(u.cache_write_tokens), sum(u.output_tokens),
    sum(u.reasoning_output_tokens), sum(u.charge_nanos),
    sum(coalesce(t.amount_nanos, 0) + coalesce(b.excess, 0)), sum(coalesce(b.loss, 0))
FROM {{record}} u
    LEFT JOIN {{transfer}} t ON t.id = u.id
    LEFT JOIN beside b ON b.id = u.id
    LEFT JOIN billing_invoice i ON i.organization_id = u.organization_id
        AND i.month = date_trunc('month', u.charged_at AT TIME ZONE 'UTC')::date
        AND u.charged_at < i.finalized_at
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


class NotClosed(Exception):
    """The month cannot be archived yet; `reasons` says why, one sentence each."""

    def __init__(self, month: date, reasons: list[str]) -> None:
        super().__init__(f"{month:%Y-%m} is not closed: {'; '.join(reasons)}")
        self.reasons = reasons


class Changed(Exception):
    """The month's rows are not those that were written: something was added since."""


def write(month: date, folder: Path, now: datetime | None = None) -> dict[str, Any]:
    """Write the month into `folder`/YYYY-MM, or find it there, and read all of it back.

    Returns its manifest. Raises `NotClosed`, `Damaged` or OSError; the database is only read.
    """
    _refuse_unless_closed(month, now)
    own = folder / f"{month:%Y-%m}"
    manifest = archive_files.read_manifest(own)
    if manifest is None:
        os.makedirs(own, mode=0o700, exist_ok=True)
        tables = {
            table: archive_files.write(table, partitions.name_of(table, month), own)
            for table in partitions.TABLES
        }
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = {"month": f"{month:%Y-%m}", "made_at": made_at, "tables": tables}
        archive_files.write_manifest(own, manifest)
    elif manifest.get("month") != f"{month:%Y-%m}":
        raise Damaged(f"{own} holds {manifest.get('month')}")
    for table, entry in manifest["tables"].items():
        archive_files.verify(table, own, entry)
    return manifest


def drop(month: date, manifest: dict[str, Any], now: datetime | None = None) -> None:
    """Keep the month's sums and drop its rows, in one transaction.

    `manifest` is what `write` returned. Raises `NotClosed`, `Changed` where the rows are no longer
    those of the files, and OperationalError where a lock cannot be had at once; then all is as it
    was. Charging waits for the moment of the dropping itself.
    """
    names = _names(month)
    with transaction.atomic(), connection.cursor() as cursor:
        partitions.take_turn()
        # A rebuild of the rollups sees the month either in its rows or in its sums.
        RollupWatermark.objects.select_for_update().get(pk=1)
        _refuse_unless_closed(month, now)
        cursor.execute("LOCK TABLE {transfer}, {record} IN SHARE MODE".format(**names))
        for table, entry in manifest["tables"].items():
            found = archive_files.sums(table, partitions.name_of(table, month))
            if any(entry[name] != value for name, value in found.items()):
                raise Changed(f"{table} of {month:%Y-%m} is not what was written: {found}")
        counts = [manifest["tables"][table]["rows"] for table in partitions.TABLES]
        Archive.objects.create(
            month=month, transfers=counts[0], usage_records=counts[1], manifest=manifest
        )
        parameters: dict[str, Any] = {
            "month": month,
            "from_id": settlements.first_id_at(partitions.first_of(month)),
        }
        cursor.execute(_ACCOUNTS.format(**names), parameters)
        cursor.execute(_USAGE.format(**names), parameters)
        for table in partitions.TABLES:
            partitions.drop(table, month)


def _refuse_unless_closed(month: date, now: datetime | None) -> None:
    names = _names(month)
    missing = [table for table in partitions.TABLES if month not in partitions.months(table)]
    if missing:
        raise NotClosed(month, [f"there is no {partitions.name_of(missing[0], month)}"])
    reasons = []
    if (now or timezone.now()) < partitions.first_of(partitions.after(month, 2)):
        reasons.append("the month after it is not over")
    with connection.cursor() as cursor:
        for reason, count in _OPEN.items():
            cursor.execute(count.format(**names))
            if found := cursor.fetchone()[0]:
                reasons.append(reason.format(found))
    if reasons:
        raise NotClosed(month, reasons)


def _names(month: date) -> dict[str, str]:
    return {
        "transfer": partitions.name_of(_TRANSFER, month),
        "record": partitions.name_of(_RECORD, month),
    }
