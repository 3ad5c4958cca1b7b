"""Usage sums per hour and day, kept exact while requests commit in any order.

Every usage record carries the id of the transaction that inserted it (`xid`). Ids are given out
in order, but transactions commit in any order, so neither an id nor a time says "everything
before this is here". PostgreSQL does: below a snapshot's xmin every transaction has ended, so a
record of one is either visible or will never be. `roll_up` therefore adds the records with
`watermark <= xid < xmin` and moves the watermark to that xmin, in one transaction under the
watermark's row lock. Neighbouring runs share a border and never an id: each record is counted
exactly once.
"""

from django.db import connection, transaction

from billing import costs, latency, measurements
from billing.models import RollupWatermark

# One step adds the records of this many transactions; one run takes this many steps.
XIDS_PER_STEP = 50_000
STEPS_MAX = 40

# A watermark above every transaction there is: "rebuild me".
_REBUILD_XID = 2**63 - 1

_BOUNDS = """
SELECT pg_snapshot_xmin(now_visible)::text::bigint, pg_snapshot_xmax(now_visible)::text::bigint
FROM pg_current_snapshot() AS now_visible
"""

_SUMS = (
    "requests",
    "errors",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "charge_nanos",
)
_NAMES = ", ".join(_SUMS)
_SUM_EACH = ", ".join(f"sum({name})::bigint" for name in _SUMS)
_ADD_EACH = ", ".join(f"{name} = total.{name} + excluded.{name}" for name in _SUMS)

_RECORDS = """
    SELECT organization_id, coalesce(project_id, 0) AS project_id,
        coalesce(api_key_id, 0) AS api_key_id, model,
        date_trunc('hour', charged_at, 'UTC') AS hour,
        count(*) AS requests, count(*) FILTER (WHERE status >= 400) AS errors,
        sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens,
        sum(cache_write_tokens) AS cache_write_tokens, sum(output_tokens) AS output_tokens,
        sum(reasoning_output_tokens) AS reasoning_output_tokens, sum(charge_nanos) AS charge_nanos
    FROM billing_usagerecord WHERE xid >= %(lower)s AND xid < %(upper)s
    GROUP BY 1, 2, 3, 4, 5
"""
# What stayed of months whose records are archived.
_ARCHIVED = f"""
    SELECT organization_id, project_id, api_key_id, model, hour,
        {", ".join(f"sum({name})::bigint AS {name}" for name in _SUMS)}
    FROM billing_archivedusage GROUP BY 1, 2, 3, 4, 5
"""
# Both tables from one scan; a key that stands in the table already is added to.
_ADD = f"""
WITH fresh AS MATERIALIZED ({{fresh}}), hours AS (
    INSERT INTO billing_usagehour AS total
        (organization_id, project_id, api_key_id, model, hour, {_NAMES})
    SELECT organization_id, project_id, api_key_id, model, hour, {_NAMES} FROM fresh
    ON CONFLICT (organization_id, hour, project_id, api_key_id, model) DO UPDATE SET {_ADD_EACH}
), days AS (
    INSERT INTO billing_usageday AS total
        (organization_id, project_id, api_key_id, model, day, {_NAMES})
    SELECT organization_id, project_id, api_key_id, model, (hour AT TIME ZONE 'UTC')::date,
        {_SUM_EACH}
    FROM fresh GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (organization_id, day, project_id, api_key_id, model) DO UPDATE SET {_ADD_EACH}
)
SELECT coalesce(sum(requests), 0)::bigint FROM fresh
"""
_ADD_RECORDS = _ADD.format(fresh=_RECORDS)
_ADD_ARCHIVED = _ADD.format(fresh=_ARCHIVED)


def roll_up(steps_max: int = STEPS_MAX) -> int:
    """Add what has been charged since the last run; returns how many records.

    Does nothing while another process rolls up. Bounded: the rest is the next run's. A watermark
    from another cluster (a restored dump) makes it rebuild everything instead.
    """
    added = 0
    for _ in range(steps_max):
        step = _step()
        if step is None:
            return added
        records, is_behind, is_foreign = step
        if is_foreign:
            return rebuild()
        added += records
        if not is_behind:
            return added
    return added


def _step() -> tuple[int, bool, bool] | None:
    """One step: (records added, more to do, the watermark is foreign); None where it is locked."""
    with transaction.atomic(), connection.cursor() as cursor:
        mark = RollupWatermark.objects.select_for_update(skip_locked=True).first()
        if mark is None:
            return None
        # The bounds come from a snapshot taken under the lock and before the one that sums.
        cursor.execute(_BOUNDS)
        xmin, xmax = cursor.fetchone()
        if mark.xid > xmax:
            return 0, False, True
        upper = min(xmin, mark.xid + XIDS_PER_STEP)
        if upper <= mark.xid:
            return 0, False, False
        records = _add(mark.xid, upper)
        mark.xid = upper
        mark.save(update_fields=["xid"])
        return records, upper < xmin, False


def _add(lower: int, upper: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_ADD_RECORDS, {"lower": lower, "upper": upper})
        records = int(cursor.fetchone()[0])
    if records:
        measurements.add(lower, upper)
        latency.add(lower, upper)
        costs.add(lower, upper)
    return records


def rebuild() -> int:
    """Sum every usage record anew, archived ones from what is kept of them; returns how many.
    Right after a restore, and always safe.

    Records already here whose ids lie at or above the border (a few of the last moment's, or
    after a restore another cluster's) would be met again by later runs. Their `xid` becomes zero:
    counted now and never again. Charging waits while that is done, not while the sums are made.
    Measurements and latencies are those of the records that are here; costs of archived months
    stay as they were rated. Dying in between leaves a watermark that makes the next run rebuild.
    """
    upper = _settle_the_border()
    with transaction.atomic(), connection.cursor() as cursor:
        RollupWatermark.objects.select_for_update().get(pk=1)
        tables = ("usagehour", "usageday", "modelhour", "latencyday")
        cursor.execute("; ".join(f"DELETE FROM billing_{table}" for table in tables))
        costs.clear()
        cursor.execute(_ADD_ARCHIVED)
        archived = int(cursor.fetchone()[0])
        records = archived + _add(0, upper)
        RollupWatermark.objects.filter(pk=1).update(xid=upper)
    return records


def rebuild_costs() -> int:
    """Rate every record that is in the sums anew; returns how many. For a first price that was
    entered late. Pages show what was known until all of it is rated."""
    with transaction.atomic():
        mark = RollupWatermark.objects.select_for_update().get(pk=1)
        costs.clear()
        return costs.add(0, mark.xid)


def _settle_the_border() -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        RollupWatermark.objects.get_or_create(pk=1)
        RollupWatermark.objects.select_for_update().get(pk=1)
        # Waits for every transaction that has inserted a record, and holds back those to come:
        # what is visible under this lock is all there is below the ids still running.
        cursor.execute("LOCK TABLE billing_usagerecord IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(_BOUNDS)
        upper, _ = cursor.fetchone()
        cursor.execute("UPDATE billing_usagerecord SET xid = 0 WHERE xid >= %s", [upper])
        RollupWatermark.objects.filter(pk=1).update(xid=_REBUILD_XID)
    return int(upper)
