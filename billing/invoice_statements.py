"""The statements that make an invoice's lines, and that recompute them.

Usage lines come from usage records and what was booked for them; of archived months from what is
kept. Lines of fees and credits come from `PlanCharge`, which its transfer must equal.
"""

from billing import settlements

_SUMS = """
    count(*) AS requests,
    sum(u.input_tokens + u.cached_input_tokens + u.cache_write_tokens)::bigint AS input_tokens,
    sum(u.output_tokens + u.reasoning_output_tokens)::bigint AS output_tokens,
    sum(u.charge_nanos - coalesce(b.loss, 0))::bigint AS amount_nanos,
    sum(coalesce(t.amount_nanos, 0) + coalesce(b.excess, 0))::bigint AS paid_nanos
"""
_BOOKED = """
    LEFT JOIN billing_transfer t
        ON t.id = u.id AND t.id >= %(from_id)s AND t.state = 'posted'
    LEFT JOIN beside b ON b.id = u.id
"""

LINES = f"""
WITH {settlements.BESIDE}
SELECT u.organization_id, coalesce(u.project_id, 0) AS project_id, u.model, {_SUMS}
FROM billing_usagerecord u {_BOOKED}
WHERE u.id >= %(from_id)s AND u.charged_at >= %(lower)s AND u.charged_at < %(upper)s
  AND (%(organization)s::bigint IS NULL OR u.organization_id = %(organization)s)
  AND NOT EXISTS (SELECT FROM billing_invoice i
                  WHERE i.organization_id = u.organization_id AND i.month = %(month)s)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

# Every line that is not what the records and transfers say (of archived ones: what is kept of
# them), and every total that is not the sum.
DIFFERENCES = f"""
WITH {settlements.BESIDE}, chosen AS (
    SELECT id, number, issuer_id, organization_id, total_nanos, total_minor, tax_minor,
        tax_rate_ppm, coalesce(seller ->> 'code', 'INV') || '-' || number AS name,
        month::timestamp AT TIME ZONE 'UTC' AS lower,
        least((month + interval '1 month') AT TIME ZONE 'UTC', finalized_at) AS upper
    FROM billing_invoice
    WHERE (%(invoice)s::bigint IS NULL OR id = %(invoice)s) AND month >= %(from_month)s
), live AS (
    SELECT i.id AS invoice_id, coalesce(u.project_id, 0) AS project_id, u.model, {_SUMS}
    FROM chosen i JOIN billing_usagerecord u
        ON u.organization_id = i.organization_id AND u.id >= %(from_id)s
        AND u.charged_at >= i.lower AND u.charged_at < i.upper
    {_BOOKED}
    GROUP BY 1, 2, 3
), used AS (
    SELECT invoice_id, project_id, model, sum(requests) AS requests,
        sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
        sum(amount_nanos) AS amount_nanos, sum(paid_nanos) AS paid_nanos
    FROM (
        SELECT * FROM live
        UNION ALL
        SELECT invoice_id, project_id, model, requests,
            input_tokens + cached_input_tokens + cache_write_tokens,
            output_tokens + reasoning_output_tokens, charge_nanos - loss_nanos, paid_nanos
        FROM billing_archivedusage WHERE invoice_id IN (SELECT id FROM chosen)
    ) AS part GROUP BY 1, 2, 3
), line AS (
    SELECT l.* FROM billing_invoiceline l JOIN chosen ON chosen.id = l.invoice_id
), plan AS (
    SELECT i.id AS invoice_id, p.*,
        CASE WHEN t.id IS NULL THEN EXISTS (
            SELECT FROM billing_archive a
            WHERE a.month = date_trunc('month', p.charged_at AT TIME ZONE 'UTC')::date)
        ELSE t.state = 'posted' AND t.kind = 'plan_' || p.kind
            AND t.amount_nanos = p.amount_nanos END AS is_booked
    FROM chosen i JOIN billing_plancharge p ON p.organization_id = i.organization_id
        AND p.charged_at >= i.lower AND p.charged_at < i.upper
    LEFT JOIN billing_transfer t ON t.id = p.transfer_id
)
SELECT chosen.name, 'line ' || line_or_use.model || ' of project ' || line_or_use.project_id
FROM (
    SELECT invoice_id, project_id, model
    FROM (SELECT * FROM line WHERE kind = 'usage') AS line
        FULL JOIN used USING (invoice_id, project_id, model)
    WHERE (line.requests, line.input_tokens, line.output_tokens, line.amount_nanos,
           line.amount_nanos)
        IS DISTINCT FROM
          (used.requests, used.input_tokens, used.output_tokens, used.amount_nanos,
           used.paid_nanos)
) line_or_use JOIN chosen ON chosen.id = line_or_use.invoice_id
UNION ALL
SELECT chosen.name, coalesce(line_or_charge.kind, 'plan') || ' ' || line_or_charge.transfer_id
FROM (
    SELECT coalesce(line.invoice_id, plan.invoice_id) AS invoice_id, transfer_id, line.kind
    FROM (SELECT * FROM line WHERE kind <> 'usage') AS line
        FULL JOIN plan USING (transfer_id)
    WHERE (line.invoice_id, line.kind, line.model, line.first_day, line.last_day,
           line.amount_nanos)
        IS DISTINCT FROM
          (plan.invoice_id, plan.kind, plan.plan_name, plan.first_day, plan.last_day,
           CASE plan.kind WHEN 'credit' THEN -plan.amount_nanos ELSE plan.amount_nanos END)
        OR NOT plan.is_booked
) line_or_charge JOIN chosen ON chosen.id = line_or_charge.invoice_id
UNION ALL
SELECT chosen.name, 'total' FROM chosen
WHERE total_nanos <>
    (SELECT coalesce(sum(amount_nanos), 0) FROM line WHERE line.invoice_id = chosen.id)
UNION ALL
SELECT chosen.name, 'cents' FROM chosen
WHERE total_minor <> div(total_nanos + 5000000, 10000000)
    OR tax_minor <> div(2 * total_minor::numeric * tax_rate_ppm + 1000000 + tax_rate_ppm,
                        2 * (1000000 + tax_rate_ppm))
"""

# Numbers that are missing, by issuer, and credit notes that are not what their transfer moved.
NUMBERS = """
SELECT issuer.code || ' ' || kind, format('%%s documents, and the last is number %%s', n, last)
FROM (
    SELECT issuer_id, 'invoices' AS kind, count(*) AS n, max(number) AS last
    FROM billing_invoice GROUP BY 1
    UNION ALL
    SELECT issuer_id, 'credit notes', count(*), max(number) FROM billing_creditnote GROUP BY 1
) AS series JOIN billing_issuer issuer ON issuer.id = issuer_id
WHERE n <> last
UNION ALL
SELECT 'credit note ' || note.number, 'the ledger moved ' || coalesce(t.amount_nanos, 0)
FROM billing_creditnote note LEFT JOIN billing_transfer t ON t.id = note.transfer_id
WHERE t.amount_nanos IS DISTINCT FROM note.total_minor * 10000000
    AND NOT EXISTS (SELECT FROM billing_archive a
                    WHERE a.month = date_trunc('month', note.issued_at AT TIME ZONE 'UTC')::date)
UNION ALL
SELECT 'invoice ' || i.number, 'more is given back than it was for'
FROM billing_invoice i JOIN billing_creditnote note ON note.invoice_id = i.id
GROUP BY i.id HAVING sum(note.total_minor) > i.total_minor
"""
