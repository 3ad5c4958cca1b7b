"""Months of use as SQL: set-wise, and consistent to the nano, as the product would have left it.

Every random choice is a hash of the row's number, so a fill can be repeated. Requests come in
bursts of sixteen of one key and model, sixty-four bursts at a time side by side, as programs ask.
Prices are the catalog's, of models with a single rate.
"""

from __future__ import annotations

BURST_ROWS = 16
BURSTS_AT_A_TIME = 64
_BLOCK_ROWS = BURST_ROWS * BURSTS_AT_A_TIME
# One in this many bursts is the large organization's.
LARGE_SHARE = 10
DAYS = 180
CREDIT_NANOS = 10_000 * 10**9
_WALLET_IDS_FROM = 1_000
# What is needed before the first request: no history without them.
PASSWORD_OF_NOBODY = "!"


def _random(what: str, seed: int) -> str:
    """A number from 0 to below 1, the same for the same `what`."""
    return f"((hashint8extended(({what})::bigint, {seed}) & 1073741823) / 1073741824.0::float8)"


def _id(moment: str, digest: str) -> str:
    """A request's UUIDv7 of that millisecond, its low bits zero."""
    return (
        f"(lpad(to_hex((extract(epoch FROM {moment}) * 1000)::bigint), 12, '0') || '7'"
        f" || substr({digest}, 1, 3) || '8' || substr({digest}, 4, 14) || '0')::uuid"
    )


# Organization n owns wallet n + 1,000, project n and user n; the first is the large one.
PEOPLE = f"""
INSERT INTO accounts_user (id, password, is_superuser, email, name, is_staff, is_active,
    date_joined)
SELECT n, '{PASSWORD_OF_NOBODY}', false, 'owner-' || n || '@example.com', '', false, true,
    %(began)s
FROM generate_series(1, %(organizations)s) n;
INSERT INTO accounts_organization (id, name, slug, created_at)
SELECT n, 'Organization ' || n, 'organization-' || n, %(began)s
FROM generate_series(1, %(organizations)s) n;
INSERT INTO accounts_membership (role, created_at, user_id, organization_id)
SELECT 'owner', %(began)s, n, n FROM generate_series(1, %(organizations)s) n;
INSERT INTO accounts_project (id, name, created_at, organization_id)
SELECT n, 'Default', %(began)s, n FROM generate_series(1, %(organizations)s) n;
INSERT INTO billing_subscription (started_at, organization_id, plan_id)
SELECT %(began)s, n, (SELECT id FROM billing_plan WHERE slug = %(plan)s)
FROM generate_series(1, %(organizations)s) n;
INSERT INTO billing_account (id, kind, debits_pending, debits_posted, credits_pending,
    credits_posted, created_at, organization_id)
SELECT n + {_WALLET_IDS_FROM}, 'wallet', 0, 0, 0, {CREDIT_NANOS}, %(began)s, n
FROM generate_series(1, %(organizations)s) n;
"""

# Every wallet is topped up before its first request, in the first second of the history.
CREDITS = f"""
INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
    amount_nanos, reason, created_at, resolved_at)
SELECT {_id("%(began)s::timestamptz", "md5('credit' || n)")},
    (SELECT id FROM billing_account WHERE kind = 'payments'), n + {_WALLET_IDS_FROM}, 'top_up',
    'posted', 0, {CREDIT_NANOS}, 'Card payment', %(began)s, %(began)s
FROM generate_series(1, %(organizations)s) n ORDER BY 1;
UPDATE billing_account
SET debits_posted = debits_posted + {CREDIT_NANOS} * %(organizations)s::bigint
WHERE kind = 'payments';
"""

# The first `large_keys` are the large organization's, then one key for each other organization,
# then the rest, most to those with low numbers. `drawn` holds the keys whose secrets are known.
KEYS = f"""
INSERT INTO accounts_apikey (id, name, digest, prefix, last_four, allowed_models,
    allowed_addresses, created_at, last_used_at, created_by_id, organization_id, project_id)
SELECT n, 'Key ' || n, coalesce(drawn.digest, md5('a' || n) || md5('b' || n)),
    coalesce(drawn.prefix, 'ttonk_sk_' || substr(md5('c' || n), 1, 4)),
    coalesce(drawn.last_four, substr(md5('d' || n), 1, 4)), '{{}}', '{{}}',
    %(began)s::timestamptz + {_random("n", 1)} * interval '{DAYS} days',
    now() - {_random("n", 2)} * interval '30 days', owner, owner, owner
FROM (
    SELECT n, CASE
        WHEN n <= %(large_keys)s THEN 1
        WHEN n < %(large_keys)s + %(organizations)s THEN n - %(large_keys)s + 1
        ELSE 2 + floor((%(organizations)s - 1) * power({_random("n", 3)}, 2))::bigint
    END AS owner
    FROM generate_series(1, %(keys)s) n
) key LEFT JOIN scale_drawn drawn USING (n);
"""

BURSTS = f"""
CREATE UNLOGGED TABLE scale_burst AS
SELECT b, key.id AS api_key_id, key.organization_id, key.project_id, model.*
FROM (
    SELECT b, 1 + floor(%(models)s * {_random("b", 4)})::int AS model_number,
        CASE WHEN b %% {LARGE_SHARE} = 0
            THEN 1 + floor(%(large_keys)s * power({_random("b", 5)}, 3))::bigint
            ELSE 1 + %(large_keys)s
                + floor((%(keys)s - %(large_keys)s) * power({_random("b", 5)}, 2))::bigint
        END AS key_id
    FROM generate_series(0, %(rows)s / {BURST_ROWS} + {BURSTS_AT_A_TIME}) b
) chosen JOIN accounts_apikey key ON key.id = chosen.key_id JOIN scale_model model
    USING (model_number);
ALTER TABLE scale_burst ADD PRIMARY KEY (b);
ANALYZE scale_burst;
"""

# The catalog's models with a single rate, as the product prices them.
MODELS = """
CREATE UNLOGGED TABLE scale_model AS
SELECT row_number() OVER (ORDER BY m.id)::int AS model_number, m.name AS model,
    v.slug AS provider, c.id AS channel_id, p.id AS price_id, r.input_nanos,
    r.cached_input_nanos, r.output_nanos
FROM providers_model m JOIN providers_channel c ON c.model_id = m.id
    JOIN providers_provider v ON v.id = c.provider_id JOIN providers_price p ON p.model_id = m.id
    JOIN providers_pricerate r ON r.price_id = p.id
WHERE (SELECT count(*) FROM providers_pricerate o WHERE o.price_id = p.id) = 1
    AND c.id = (SELECT min(id) FROM providers_channel WHERE model_id = m.id)
    AND p.effective_at = (SELECT max(effective_at) FROM providers_price WHERE model_id = m.id);
"""

# Rows `first` to `last` of `rows`, a step apart, in the order of their ids. One in fifty failed.
RECORDS = f"""
INSERT INTO billing_usagerecord (id, organization_id, project_id, api_key_id, model, provider,
    channel_id, price_id, markup_ppm, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_output_tokens, charge_nanos, billing_reason, is_estimated, is_stream,
    status, error_code, attempts, first_token_ms, duration_ms, started_at, charged_at, xid)
SELECT {_id("started_at", "digest")}, organization_id, project_id, api_key_id, model, provider,
    channel_id, price_id, 1000000,
    input, cached, 0, output, 0,
    (input * input_nanos + cached * cached_input_nanos + output * output_nanos + 999999) / 1000000,
    CASE WHEN failed THEN 'upstream_failed' ELSE 'completed' END, false, is_stream,
    CASE WHEN failed THEN 502 ELSE 200 END, CASE WHEN failed THEN 'upstream_error' ELSE '' END, 1,
    CASE WHEN is_stream AND NOT failed THEN 200 + (random_a * 400)::int END,
    700 + (random_b * 9000)::int, started_at, started_at + interval '3 seconds',
    pg_current_xact_id()::text::bigint
FROM (
    SELECT n, digest, started_at, failed, burst.*, random_a, random_b, random_a < 0.6 AS is_stream,
        CASE WHEN failed THEN 0 ELSE 50 + (random_a * 2000)::bigint END AS input,
        CASE WHEN failed OR random_b < 0.7 THEN 0 ELSE (random_b * 1500)::bigint END AS cached,
        CASE WHEN failed THEN 0 ELSE 10 + (random_b * 700)::bigint END AS output
    FROM (
        SELECT n, md5(n::text) AS digest, n / {_BLOCK_ROWS} * {BURSTS_AT_A_TIME}
                + n %% {BURSTS_AT_A_TIME} AS b,
            %(began)s::timestamptz + interval '1 minute' + n * %(step)s * interval '1 second'
                AS started_at,
            {_random("n", 7)} AS random_a, {_random("n", 8)} AS random_b,
            {_random("n", 9)} < 0.02 AS failed
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
    ) row JOIN scale_burst burst USING (b)
) made
"""

# Each request's hold, settled at its charge.
TRANSFERS = f"""
INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
    amount_nanos, api_key_id, created_at, expires_at, resolved_at)
SELECT id, organization_id + {_WALLET_IDS_FROM}, %(revenue)s, 'usage',
    CASE WHEN charge_nanos > 0 THEN 'posted' ELSE 'voided' END, charge_nanos * 3 + 100000,
    charge_nanos, api_key_id, started_at, started_at + interval '45 seconds', charged_at
FROM billing_usagerecord WHERE id >= %(from_id)s AND id < %(to_id)s
"""

# What the requests moved: every wallet's debits and the platform's revenue.
BALANCES = """
WITH spent AS (
    SELECT debit_account_id AS id, sum(amount_nanos)::bigint AS nanos,
        coalesce(sum(amount_nanos) FILTER (
            WHERE created_at >= date_trunc('month', now(), 'UTC')), 0)::bigint AS month_nanos
    FROM billing_transfer WHERE kind = 'usage' AND id >= %(from_id)s GROUP BY 1
), revenue AS (
    UPDATE billing_account SET credits_posted = credits_posted
        + (SELECT coalesce(sum(nanos), 0)::bigint FROM spent)
    WHERE kind = 'revenue'
)
UPDATE billing_account a
SET debits_posted = debits_posted + spent.nanos, usage_month_nanos = spent.month_nanos,
    usage_month = date_trunc('month', now() AT TIME ZONE 'UTC')
FROM spent WHERE spent.id = a.id
"""

# Ids were given out by hand.
SEQUENCES = "".join(
    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table};"
    for table in ("accounts_user", "accounts_organization", "accounts_project",
                  "accounts_apikey", "billing_account")
)  # fmt: skip

CLEAN = "DROP TABLE scale_drawn, scale_burst, scale_model"

BILL_HEADER = "day,model,requests,input_tokens,cached_input_tokens,output_tokens,cost"
BILL = """
SELECT provider, (hour AT TIME ZONE 'UTC')::date, upstream_model, sum(metered)::bigint,
    sum(input_tokens)::bigint, sum(cached_input_tokens)::bigint, sum(output_tokens)::bigint,
    (sum(cost_nanos)::numeric / 1000000000)::numeric(20, 9)
FROM billing_upstreamhour
WHERE provider = (SELECT provider FROM billing_upstreamhour GROUP BY 1 ORDER BY sum(metered) DESC
                  LIMIT 1)
    AND (hour AT TIME ZONE 'UTC')::date BETWEEN %(first)s AND %(last)s
GROUP BY 1, 2, 3 ORDER BY 2, 3
"""
