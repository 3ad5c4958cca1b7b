"""Caps that an operator had noted begin to hold; every wallet's count begins with this month's
transfers, as `prove_ledger` sums them."""

from typing import ClassVar

from django.db import migrations

FILL = """
UPDATE billing_account a SET usage_cap_month_nanos = s.spend_cap_month_nanos
FROM billing_subscription s
WHERE s.organization_id = a.organization_id AND s.spend_cap_month_nanos IS NOT NULL;

UPDATE billing_account a
SET usage_month = date_trunc('month', now() AT TIME ZONE 'UTC')::date, usage_month_nanos = used.nanos
FROM (
    SELECT debit_account_id AS id,
        sum(CASE WHEN state = 'pending' THEN held_nanos ELSE amount_nanos END)::bigint AS nanos
    FROM billing_transfer
    WHERE kind IN ('usage', 'usage_excess') AND created_at >= date_trunc('month', now(), 'UTC')
    GROUP BY 1
) used
WHERE used.id = a.id AND a.kind = 'wallet';
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0020_usage_caps")]

    operations: ClassVar = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
