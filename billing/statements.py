"""The ledger's set-based SQL: one statement resolves a whole batch, in one commit.

Rows are locked in one order everywhere (transfers before accounts, accounts by id), so two
gateway processes and the sweeper never deadlock. Arrays come in as array literals. What looks for
transfers by id is told the batch's first and last id beside them: they say before the statement
runs which months' partitions it can leave alone.

A wallet also counts its UTC month's usage: what is held, and what was charged of it. The count
never goes back a month: where a statement of the old month waited for one of the new, its request
counts, and is dated, in the new. So the count is the sum of the month's transfers, to the nano.
"""

_MONTH = "date_trunc('month', now() AT TIME ZONE 'UTC')::date"
_COUNTED = f"CASE WHEN a.usage_month >= {_MONTH} THEN a.usage_month_nanos ELSE 0 END"
# What the organization's cap leaves of the month; all there is where none is set.
_CAP_LEFT = f"coalesce(a.usage_cap_month_nanos - {_COUNTED}, {2**63 - 1})"

# Before captures and authorizations of one transaction: each locks its own wallets in order, and
# the two together need one order too.
LOCK_WALLETS = """
SELECT FROM billing_account WHERE id = ANY(%(wallets)s::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""

# Every wallet of the batch is debited its items' sum if it can pay it and its cap allows it, and
# not at all otherwise: `granted` says which. `available` and `cap_left` are what there was before.
AUTHORIZE = f"""
WITH item AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(wallets)s::bigint[], %(amounts)s::bigint[],
                         %(keys)s::bigint[]) AS t (id, wallet_id, amount, api_key_id)
), net AS (
    SELECT wallet_id, sum(amount)::bigint AS amount FROM item GROUP BY wallet_id
), locked AS (
    SELECT a.id, a.credits_posted - a.debits_posted - a.debits_pending AS available, net.amount,
        {_CAP_LEFT} AS cap_left
    FROM billing_account a JOIN net ON net.wallet_id = a.id
    ORDER BY a.id FOR NO KEY UPDATE OF a
), granted AS (
    UPDATE billing_account a
    SET debits_pending = a.debits_pending + locked.amount,
        usage_month = greatest(a.usage_month, {_MONTH}),
        usage_month_nanos = {_COUNTED} + locked.amount
    FROM locked
    WHERE a.id = locked.id
      AND a.credits_posted - a.debits_posted - a.debits_pending >= locked.amount
      AND {_CAP_LEFT} >= locked.amount
    RETURNING a.id, a.usage_month
), held AS (
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
        amount_nanos, api_key_id, reason, created_at, expires_at)
    SELECT item.id, item.wallet_id, %(revenue)s::bigint, 'usage', 'pending', item.amount, 0,
        item.api_key_id, '', greatest(now(), granted.usage_month::timestamp AT TIME ZONE 'UTC'),
        now() + make_interval(secs => %(hold_seconds)s::float8)
    FROM item JOIN granted ON granted.id = item.wallet_id
    RETURNING held_nanos
), outbox AS (
    INSERT INTO billing_accountdelta
        (kind, debits_pending, debits_posted, credits_pending, credits_posted)
    SELECT 'revenue', 0, 0, sum(held_nanos), 0 FROM held HAVING count(*) > 0
)
SELECT locked.id, locked.available, granted.id IS NOT NULL, locked.cap_left
FROM locked LEFT JOIN granted ON granted.id = locked.id
"""

# The columns of a usage record as the gateway sends them, in order, with their SQL types.
USAGE_COLUMNS = {
    "id": "uuid",
    "organization_id": "bigint",
    "project_id": "bigint",
    "api_key_id": "bigint",
    "model": "text",
    "provider": "text",
    "channel_id": "bigint",
    "price_id": "bigint",
    "markup_ppm": "int",
    "input_tokens": "bigint",
    "cached_input_tokens": "bigint",
    "cache_write_tokens": "bigint",
    "output_tokens": "bigint",
    "reasoning_output_tokens": "bigint",
    "charge_nanos": "bigint",
    "billing_reason": "text",
    "is_estimated": "bool",
    "is_stream": "bool",
    "status": "smallint",
    "error_code": "text",
    "attempts": "smallint",
    "first_token_ms": "int",
    "duration_ms": "int",
    "started_at": "timestamptz",
}
_COLUMNS = ", ".join(USAGE_COLUMNS)
_ARRAYS = ", ".join(f"%({name})s::{kind}[]" for name, kind in USAGE_COLUMNS.items())

# A hold is posted at its charge (voided at zero) and the rest of it released; the usage record
# goes in with it. Items whose hold is no longer pending change nothing and are not returned.
# A charge above the hold posts the hold; the caller settles the excess in the same transaction.
# Each step hands on what the next one needs: the planner takes any batch for ten rows, and would
# join two steps of 256 by comparing each row with each.
_CAPTURE = f"""
WITH item AS (
    SELECT DISTINCT ON (id) * FROM unnest({_ARRAYS}) AS t ({_COLUMNS})
), resolved AS (
    UPDATE billing_transfer t
    SET state = CASE WHEN item.charge_nanos > 0 THEN 'posted' ELSE 'voided' END,
        amount_nanos = least(item.charge_nanos, t.held_nanos), resolved_at = now()
    FROM item
    WHERE t.id = item.id AND t.id BETWEEN %(first_id)s::uuid AND %(last_id)s::uuid
      AND t.state = 'pending'
    RETURNING item.*, t.debit_account_id AS wallet_id, t.held_nanos, t.amount_nanos, t.created_at
), net AS (
    SELECT wallet_id, sum(held_nanos)::bigint AS held, sum(amount_nanos)::bigint AS amount,
        coalesce(sum(held_nanos - amount_nanos)
            FILTER (WHERE created_at >= date_trunc('month', now(), 'UTC')), 0)::bigint AS uncounted
    FROM resolved GROUP BY wallet_id
), locked AS (
    SELECT a.id, net.held, net.amount, net.uncounted
    FROM billing_account a JOIN net ON net.wallet_id = a.id
    ORDER BY a.id FOR NO KEY UPDATE OF a
), moved AS (
    UPDATE billing_account a
    SET debits_pending = a.debits_pending - locked.held,
        debits_posted = a.debits_posted + locked.amount,
        usage_month_nanos = a.usage_month_nanos
            - CASE WHEN a.usage_month = {_MONTH} THEN locked.uncounted ELSE 0 END
    FROM locked WHERE a.id = locked.id
), outbox AS (
    INSERT INTO billing_accountdelta
        (kind, debits_pending, debits_posted, credits_pending, credits_posted)
    SELECT 'revenue', 0, 0, -sum(held_nanos), sum(amount_nanos)
    FROM resolved HAVING count(*) > 0
), recorded AS (
    INSERT INTO billing_usagerecord ({_COLUMNS}, charged_at, xid)
    SELECT {_COLUMNS}, now(), pg_current_xact_id()::text::bigint FROM resolved
)
"""
# With what was resolved, and what it had held.
CAPTURE = _CAPTURE + "SELECT id, wallet_id, held_nanos FROM resolved"
# With what was not: usually nothing, which a batch reads faster.
CAPTURE_BATCH = _CAPTURE + ("SELECT id FROM item WHERE id NOT IN (SELECT id FROM resolved)")

# Money that moves at once, between a wallet and a platform account, in either direction.
POST_FROM_WALLET = """
WITH taken AS (
    UPDATE billing_account SET debits_posted = debits_posted + %(amount)s
    WHERE id = %(wallet)s AND credits_posted - debits_posted - debits_pending >= %(amount)s
    RETURNING id
), posted AS (
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
        amount_nanos, api_key_id, reason, created_at, resolved_at)
    SELECT %(id)s, taken.id, platform.id, %(kind)s, 'posted', 0, %(amount)s, %(key)s, %(reason)s,
        now(), now()
    FROM taken, billing_account platform WHERE platform.kind = %(platform)s
    RETURNING id
), outbox AS (
    INSERT INTO billing_accountdelta
        (kind, debits_pending, debits_posted, credits_pending, credits_posted)
    SELECT %(platform)s, 0, 0, 0, %(amount)s FROM posted
)
SELECT id FROM posted
"""

# What a request cost above its hold. It counts in the month in which it is charged.
POST_EXCESS = f"""
WITH taken AS (
    UPDATE billing_account a
    SET debits_posted = a.debits_posted + %(amount)s,
        usage_month = greatest(a.usage_month, {_MONTH}),
        usage_month_nanos = {_COUNTED} + %(amount)s
    WHERE a.id = %(wallet)s
      AND a.credits_posted - a.debits_posted - a.debits_pending >= %(amount)s
    RETURNING a.id, a.usage_month
), posted AS (
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
        amount_nanos, api_key_id, reason, created_at, resolved_at)
    SELECT %(id)s, taken.id, revenue.id, 'usage_excess', 'posted', 0, %(amount)s, %(key)s, '',
        greatest(now(), taken.usage_month::timestamp AT TIME ZONE 'UTC'), now()
    FROM taken, billing_account revenue WHERE revenue.kind = 'revenue'
    RETURNING id
)
INSERT INTO billing_accountdelta
    (kind, debits_pending, debits_posted, credits_pending, credits_posted)
SELECT 'revenue', 0, 0, 0, %(amount)s FROM posted
"""

POST_TO_WALLET = """
WITH given AS (
    UPDATE billing_account SET credits_posted = credits_posted + %(amount)s
    WHERE id = %(wallet)s RETURNING id
), posted AS (
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
        amount_nanos, api_key_id, reason, created_at, resolved_at)
    SELECT %(id)s, platform.id, given.id, %(kind)s, 'posted', 0, %(amount)s, %(key)s, %(reason)s,
        now(), now()
    FROM given, billing_account platform WHERE platform.kind = %(platform)s
    RETURNING id
), outbox AS (
    INSERT INTO billing_accountdelta
        (kind, debits_pending, debits_posted, credits_pending, credits_posted)
    SELECT %(platform)s, 0, %(amount)s, 0, 0 FROM posted
)
SELECT id FROM posted
"""

# What the operator bears: revenue is booked in full, and the loss beside it. A replay that
# arrives at the same id again books nothing.
POST_LOSS = """
WITH posted AS (
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
        amount_nanos, api_key_id, reason, created_at, resolved_at)
    SELECT %(id)s, loss.id, revenue.id, 'usage_loss', 'posted', 0, %(amount)s, %(key)s,
        %(reason)s, now(), now()
    FROM billing_account loss, billing_account revenue
    WHERE loss.kind = 'operator_loss' AND revenue.kind = 'revenue'
    ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO billing_accountdelta
    (kind, debits_pending, debits_posted, credits_pending, credits_posted)
SELECT side.kind, 0, side.debit, 0, side.credit
FROM posted, (VALUES ('operator_loss', %(amount)s::bigint, 0::bigint),
                     ('revenue', 0::bigint, %(amount)s::bigint)) AS side (kind, debit, credit)
"""

# Between two platform accounts: what a payment's provider took back and no wallet had any more.
POST_ON_PLATFORM = """
WITH posted AS (
    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
        amount_nanos, api_key_id, reason, created_at, resolved_at)
    SELECT %(id)s, giver.id, taker.id, %(kind)s, 'posted', 0, %(amount)s, NULL, %(reason)s,
        now(), now()
    FROM billing_account giver, billing_account taker
    WHERE giver.kind = %(giver)s AND taker.kind = %(taker)s
    RETURNING id
)
INSERT INTO billing_accountdelta
    (kind, debits_pending, debits_posted, credits_pending, credits_posted)
SELECT side.kind, 0, side.debit, 0, side.credit
FROM posted, (VALUES (%(giver)s, %(amount)s::bigint, 0::bigint),
                     (%(taker)s, 0::bigint, %(amount)s::bigint)) AS side (kind, debit, credit)
"""

# With what the cap on the month's usage leaves beside it.
AVAILABLE = f"""
SELECT a.credits_posted - a.debits_posted - a.debits_pending, {_CAP_LEFT} FROM billing_account a
WHERE a.id = %(wallet)s FOR NO KEY UPDATE
"""

# Requests still running: their holds live on, and what they have relayed is remembered.
SAVE_PROGRESS = """
WITH item AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(charges)s::bigint[], %(facts)s::jsonb[])
        AS t (id, charge_nanos, facts)
), extended AS (
    UPDATE billing_transfer t
    SET expires_at = now() + make_interval(secs => %(hold_seconds)s::float8)
    FROM item
    WHERE t.id = item.id AND t.id BETWEEN %(first_id)s::uuid AND %(last_id)s::uuid
      AND t.state = 'pending'
    RETURNING t.id
)
INSERT INTO billing_streamprogress (transfer_id, charge_nanos, facts, saved_at)
SELECT item.id, item.charge_nanos, item.facts, now() FROM item JOIN extended USING (id)
WHERE item.facts IS NOT NULL
ON CONFLICT (transfer_id) DO UPDATE
SET charge_nanos = excluded.charge_nanos, facts = excluded.facts, saved_at = excluded.saved_at
"""

# One row for all workers. A gap between two looks, or a clock that was set, begins a new wait.
BEGIN_SWEEP = """
INSERT INTO billing_sweep AS s (id, seen_at, steady_since) VALUES (1, now(), now())
ON CONFLICT (id) DO UPDATE SET seen_at = now(), steady_since = CASE
    WHEN now() - s.seen_at BETWEEN interval '-1 second' AND make_interval(secs => %(gap)s)
    THEN s.steady_since ELSE now() END
RETURNING now(), now() - steady_since >= make_interval(secs => %(grace)s)
"""

CLAIM_DUE = """
SELECT t.id, t.debit_account_id, t.held_nanos, t.api_key_id, t.created_at, p.charge_nanos, p.facts
FROM billing_transfer t LEFT JOIN billing_streamprogress p ON p.transfer_id = t.id
WHERE t.state = 'pending' AND t.expires_at < coalesce(%(until)s, now())
ORDER BY t.expires_at LIMIT %(limit)s FOR UPDATE OF t SKIP LOCKED
"""

EXPIRE = f"""
WITH resolved AS (
    UPDATE billing_transfer SET state = 'expired', resolved_at = now()
    WHERE id = %(id)s AND state = 'pending'
    RETURNING debit_account_id AS wallet_id, held_nanos, created_at
), moved AS (
    UPDATE billing_account a
    SET debits_pending = a.debits_pending - resolved.held_nanos,
        usage_month_nanos = a.usage_month_nanos - CASE
            WHEN a.usage_month = {_MONTH}
                AND resolved.created_at >= date_trunc('month', now(), 'UTC')
            THEN resolved.held_nanos ELSE 0 END
    FROM resolved WHERE a.id = resolved.wallet_id
)
INSERT INTO billing_accountdelta
    (kind, debits_pending, debits_posted, credits_pending, credits_posted)
SELECT 'revenue', 0, 0, -held_nanos, 0 FROM resolved
"""

FOLD = """
WITH claimed AS (
    DELETE FROM billing_accountdelta WHERE id IN (
        SELECT id FROM billing_accountdelta ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING *
), net AS (
    SELECT kind, sum(debits_pending)::bigint AS dp, sum(debits_posted)::bigint AS dd,
        sum(credits_pending)::bigint AS cp, sum(credits_posted)::bigint AS cd, count(*) AS rows
    FROM claimed GROUP BY kind
), folded AS (
    UPDATE billing_account a
    SET debits_pending = a.debits_pending + net.dp, debits_posted = a.debits_posted + net.dd,
        credits_pending = a.credits_pending + net.cp, credits_posted = a.credits_posted + net.cd
    FROM net WHERE a.kind = net.kind AND a.organization_id IS NULL
)
SELECT coalesce(sum(rows), 0)::bigint FROM net
"""

# A capped key's budget: made or moved to today, then locked. Returns what is left to spend.
BUDGET_LEFT = """
INSERT INTO billing_keybudget AS b (api_key_id, day, day_nanos, month, month_nanos)
VALUES (%(key)s, (now() AT TIME ZONE 'UTC')::date, 0,
        date_trunc('month', now() AT TIME ZONE 'UTC')::date, 0)
ON CONFLICT (api_key_id) DO UPDATE
SET day_nanos = CASE WHEN b.day = excluded.day THEN b.day_nanos ELSE 0 END, day = excluded.day,
    month_nanos = CASE WHEN b.month = excluded.month THEN b.month_nanos ELSE 0 END,
    month = excluded.month
RETURNING coalesce(%(day_cap)s::bigint - day_nanos, 9223372036854775807),
          coalesce(%(month_cap)s::bigint - month_nanos, 9223372036854775807)
"""

# The same for a project with a budget, locked after the key's.
PROJECT_BUDGET_LEFT = """
INSERT INTO billing_projectbudget AS b (project_id, month, month_nanos)
VALUES (%(project)s, date_trunc('month', now() AT TIME ZONE 'UTC')::date, 0)
ON CONFLICT (project_id) DO UPDATE
SET month_nanos = CASE WHEN b.month = excluded.month THEN b.month_nanos ELSE 0 END,
    month = excluded.month
RETURNING %(month_cap)s::bigint - month_nanos
"""

SPEND_PROJECT_BUDGET = """
UPDATE billing_projectbudget SET month_nanos = month_nanos + %(amount)s
WHERE project_id = %(project)s
  AND month = date_trunc('month', %(since)s AT TIME ZONE 'UTC')::date
"""

# `since` is when the hold was made: what was booked in another day or month is not given back.
SPEND_BUDGET = """
UPDATE billing_keybudget SET
    day_nanos = day_nanos
        + CASE WHEN day = (%(since)s AT TIME ZONE 'UTC')::date THEN %(amount)s ELSE 0 END,
    month_nanos = month_nanos
        + CASE WHEN month = date_trunc('month', %(since)s AT TIME ZONE 'UTC')::date
               THEN %(amount)s ELSE 0 END
WHERE api_key_id = %(key)s
"""
