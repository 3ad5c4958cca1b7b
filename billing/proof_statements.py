"""The proof's set-based checks. Each yields one row per offender: what it is, and what is wrong.

`from_id` is the lowest id that checks of single rows look at; balances and sums need every row.
Literal percent signs are doubled, because parameters are always passed.
"""

from billing import settlements

_COLUMNS = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in _COLUMNS)

UNBALANCED = f"""
WITH total AS (
    SELECT {_SUMS} FROM (
        SELECT {", ".join(_COLUMNS)} FROM billing_account
        UNION ALL SELECT {", ".join(_COLUMNS)} FROM billing_accountdelta
    ) row
)
SELECT 'pending', 'debits ' || debits_pending || ', credits ' || credits_pending
FROM total WHERE debits_pending <> credits_pending
UNION ALL
SELECT 'posted', 'debits ' || debits_posted || ', credits ' || credits_posted
FROM total WHERE debits_posted <> credits_posted
"""

# Columns plus what is not folded in yet, against the transfers themselves, and against what is
# kept of archived ones. A wallet's count of an earlier month says nothing any more.
ACCOUNTS = """
WITH side AS (
    SELECT debit_account_id AS id,
        coalesce(sum(held_nanos) FILTER (WHERE state = 'pending'), 0) AS debit_holds,
        sum(amount_nanos) AS debit_sum, 0 AS credit_holds, 0 AS credit_sum,
        sum(CASE WHEN state = 'pending' THEN held_nanos ELSE amount_nanos END) FILTER (
            WHERE kind IN ('usage', 'usage_excess')
                AND created_at >= date_trunc('month', now(), 'UTC')) AS usage_sum
    FROM billing_transfer GROUP BY 1
    UNION ALL
    SELECT credit_account_id, 0, 0,
        coalesce(sum(held_nanos) FILTER (WHERE state = 'pending'), 0), sum(amount_nanos), 0
    FROM billing_transfer GROUP BY 1
    UNION ALL
    SELECT account_id, 0, debits_posted, 0, credits_posted, 0 FROM billing_archivedaccount
), moved AS (
    SELECT id, sum(debit_holds) AS debit_holds, sum(debit_sum) AS debit_sum,
        sum(credit_holds) AS credit_holds, sum(credit_sum) AS credit_sum,
        sum(usage_sum) AS usage_sum
    FROM side GROUP BY 1
), unfolded AS (
    SELECT kind, sum(debits_pending) AS debits_pending, sum(debits_posted) AS debits_posted,
        sum(credits_pending) AS credits_pending, sum(credits_posted) AS credits_posted
    FROM billing_accountdelta GROUP BY 1
), figure AS (
    SELECT id, a.kind, a.id IS NOT NULL AND a.kind IS NOT NULL AS is_known,
        coalesce(a.debits_pending, 0) + coalesce(u.debits_pending, 0) AS debits_pending,
        coalesce(a.debits_posted, 0) + coalesce(u.debits_posted, 0) AS debits_posted,
        coalesce(a.credits_pending, 0) + coalesce(u.credits_pending, 0) AS credits_pending,
        coalesce(a.credits_posted, 0) + coalesce(u.credits_posted, 0) AS credits_posted,
        coalesce(moved.debit_holds, 0) AS debit_holds, coalesce(moved.debit_sum, 0) AS debit_sum,
        coalesce(moved.credit_holds, 0) AS credit_holds,
        coalesce(moved.credit_sum, 0) AS credit_sum,
        CASE WHEN a.usage_month = date_trunc('month', now() AT TIME ZONE 'UTC')
            THEN a.usage_month_nanos ELSE coalesce(moved.usage_sum, 0) END AS usage_nanos,
        coalesce(moved.usage_sum, 0) AS usage_sum
    FROM billing_account a FULL JOIN moved USING (id)
        LEFT JOIN unfolded u ON u.kind = a.kind AND a.organization_id IS NULL
)
SELECT 'account ' || id || coalesce(' (' || kind || ')', ''),
    CASE WHEN NOT is_known THEN 'transfers name it, and it does not exist' ELSE
        format('pending debits %%s of %%s, posted debits %%s of %%s,'
               ' pending credits %%s of %%s, posted credits %%s of %%s, month''s usage %%s of %%s',
               debits_pending, debit_holds, debits_posted, debit_sum,
               credits_pending, credit_holds, credits_posted, credit_sum, usage_nanos, usage_sum)
    END
FROM figure
WHERE NOT is_known OR debits_pending <> debit_holds OR debits_posted <> debit_sum
    OR credits_pending <> credit_holds OR credits_posted <> credit_sum
    OR usage_nanos <> usage_sum
UNION ALL
SELECT 'unfolded ' || kind, 'no platform account of this kind' FROM unfolded
WHERE NOT EXISTS (SELECT FROM billing_account a
                  WHERE a.kind = unfolded.kind AND a.organization_id IS NULL)
"""

WALLETS = """
SELECT 'wallet ' || id, (credits_posted - debits_posted - debits_pending) || ' nanos available'
FROM billing_account
WHERE kind = 'wallet' AND credits_posted - debits_posted - debits_pending < 0
"""

# The right accounts on both sides, and an id that says which transfer of its request it is:
# together with the primary key, that is exactly one terminal transfer per request.
TRANSFERS = """
SELECT 'transfer ' || t.id,
    format('%%s from %%s to %%s, state %%s', t.kind, coalesce(d.kind, 'nothing'),
           coalesce(c.kind, 'nothing'), t.state)
FROM billing_transfer t
    LEFT JOIN billing_account d ON d.id = t.debit_account_id
    LEFT JOIN billing_account c ON c.id = t.credit_account_id
WHERE t.id >= %(from_id)s AND (
    CASE t.kind
        WHEN 'usage' THEN (d.kind, c.kind) = ('wallet', 'revenue') AND {bits} = 0
        WHEN 'usage_excess' THEN (d.kind, c.kind) = ('wallet', 'revenue') AND {bits} = 1
        WHEN 'usage_loss' THEN (d.kind, c.kind) = ('operator_loss', 'revenue') AND {bits} IN (2, 3)
        WHEN 'plan_fee' THEN (d.kind, c.kind) = ('wallet', 'revenue')
        WHEN 'plan_credit' THEN (d.kind, c.kind) = ('promotions', 'wallet')
        WHEN 'credit_note' THEN (d.kind, c.kind) = ('revenue', 'wallet')
        WHEN 'top_up' THEN (d.kind, c.kind) = ('payments', 'wallet')
        WHEN 'code' THEN (d.kind, c.kind) = ('promotions', 'wallet')
        WHEN 'refund' THEN (d.kind, c.kind) IN
            (('wallet', 'payments'), ('operator_loss', 'payments'))
        WHEN 'dispute' THEN (d.kind, c.kind) IN
            (('wallet', 'payments'), ('operator_loss', 'payments'),
             ('payments', 'wallet'), ('payments', 'operator_loss'))
        WHEN 'welcome' THEN (d.kind, c.kind) = ('promotions', 'wallet')
        WHEN 'adjustment' THEN (d.kind, c.kind) IN
            (('adjustments', 'wallet'), ('wallet', 'adjustments'))
        ELSE false
    END IS NOT TRUE
    OR (t.state <> 'pending') <> (t.resolved_at IS NOT NULL)
    OR (t.kind <> 'usage' AND t.state <> 'posted')
    OR t.state NOT IN ('pending', 'posted', 'voided', 'expired'))
""".format(bits=settlements.LOW_BITS.format(id="t.id"))

# A request's record against what was booked for it. A hold may still be pending, and one that
# was released before anything was sent needs no record; everything else must match to the nano.
SETTLEMENTS = f"""
WITH {settlements.BESIDE}, hold AS (
    SELECT t.id, t.state, t.held_nanos, t.amount_nanos, a.organization_id
    FROM billing_transfer t LEFT JOIN billing_account a ON a.id = t.debit_account_id
    WHERE t.kind = 'usage' AND t.id >= %(from_id)s
), record AS (
    SELECT id, organization_id, charge_nanos, billing_reason
    FROM billing_usagerecord WHERE id >= %(from_id)s
), verdict AS (
    SELECT id, CASE
        WHEN h.state IS NULL THEN 'no transfer of its own'
        WHEN r.charge_nanos IS NULL AND (h.state IN ('posted', 'expired') OR b.excess IS NOT NULL)
            THEN h.state || ', and no usage record'
        WHEN r.charge_nanos IS NOT NULL AND h.state = 'pending' THEN 'recorded, and still held'
        WHEN h.amount_nanos > h.held_nanos THEN 'posted above its hold'
        WHEN r.organization_id <> h.organization_id THEN 'paid from another wallet'
        WHEN b.late > 0 AND r.billing_reason <> 'gateway_lost' THEN 'a late loss without a cause'
        WHEN r.charge_nanos <>
                h.amount_nanos + coalesce(b.excess, 0) + coalesce(b.loss, 0)
            THEN format('charged %%s: %%s from the hold, %%s above it, %%s lost', r.charge_nanos,
                        h.amount_nanos, coalesce(b.excess, 0), coalesce(b.loss, 0))
    END AS wrong
    FROM record r FULL JOIN hold h USING (id) FULL JOIN beside b USING (id)
)
SELECT 'request ' || id, wrong FROM verdict WHERE wrong IS NOT NULL
"""

# A worker settles a hold within seconds of its expiry; one this old means that none is running.
OVERDUE = """
SELECT 'hold ' || id, 'expired ' || date_trunc('second', now() - expires_at) || ' ago'
FROM billing_transfer
WHERE state = 'pending' AND (expires_at IS NULL OR expires_at < now() - interval '90 seconds')
"""

# The sums that pages show, against the records below the border up to which they are made.
ROLLUPS = """
WITH kept AS (
    SELECT organization_id, (charged_at AT TIME ZONE 'UTC')::date AS day, count(*) AS requests,
        sum(charge_nanos) AS charge_nanos
    FROM billing_usagerecord
    WHERE xid < (SELECT coalesce(max(xid), 0) FROM billing_rollupwatermark)
    GROUP BY 1, 2
    UNION ALL
    SELECT organization_id, (hour AT TIME ZONE 'UTC')::date, requests, charge_nanos
    FROM billing_archivedusage
), used AS (
    SELECT organization_id, day, sum(requests) AS requests, sum(charge_nanos) AS charge_nanos
    FROM kept GROUP BY 1, 2
), daily AS (
    SELECT organization_id, day, sum(requests) AS requests, sum(charge_nanos) AS charge_nanos
    FROM billing_usageday GROUP BY 1, 2
), hourly AS (
    SELECT organization_id, (hour AT TIME ZONE 'UTC')::date AS day, sum(requests) AS requests,
        sum(charge_nanos) AS charge_nanos
    FROM billing_usagehour GROUP BY 1, 2
)
SELECT 'organization ' || organization_id || ' on ' || day, format(
    'records %%s requests, %%s nanos; days %%s, %%s; hours %%s, %%s; see rebuild_rollups',
    used.requests, used.charge_nanos, daily.requests, daily.charge_nanos, hourly.requests,
    hourly.charge_nanos)
FROM used FULL JOIN daily USING (organization_id, day) FULL JOIN hourly USING (organization_id, day)
WHERE (used.requests, used.charge_nanos) IS DISTINCT FROM (daily.requests, daily.charge_nanos)
    OR (daily.requests, daily.charge_nanos) IS DISTINCT FROM (hourly.requests, hourly.charge_nanos)
"""

# What is kept of a dropped month, against itself and the manifest of its files.
ARCHIVES = """
WITH account AS (
    SELECT archive_id, sum(debits_posted) AS debits, sum(credits_posted) AS credits
    FROM billing_archivedaccount GROUP BY 1
), used AS (
    SELECT archive_id, sum(requests) AS requests, sum(charge_nanos) AS charged,
        sum(paid_nanos) AS paid, sum(loss_nanos) AS lost
    FROM billing_archivedusage GROUP BY 1
), verdict AS (
    SELECT month, CASE
        WHEN coalesce(debits, 0) <> coalesce(credits, 0)
            OR coalesce(debits, 0) <> (table_of -> 'billing_transfer' ->> 'amount_nanos')::numeric
            THEN format('debits %%s, credits %%s', debits, credits)
        WHEN coalesce(requests, 0) <> usage_records
            OR coalesce(charged, 0)
                <> (table_of -> 'billing_usagerecord' ->> 'charge_nanos')::numeric
            THEN format('%%s requests of %%s, %%s nanos', requests, usage_records, charged)
        WHEN charged <> paid + lost
            THEN format('charged %%s: %%s paid, %%s lost', charged, paid, lost)
    END AS wrong
    FROM (SELECT *, manifest -> 'tables' AS table_of FROM billing_archive) AS archive
        LEFT JOIN account ON account.archive_id = month LEFT JOIN used ON used.archive_id = month
)
SELECT 'archived ' || to_char(month, 'YYYY-MM'), wrong FROM verdict WHERE wrong IS NOT NULL
"""
