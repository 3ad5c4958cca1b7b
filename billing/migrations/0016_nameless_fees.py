"""What a fee's transfer says of who chose the plan is in the audit log, and only there."""

from typing import ClassVar

from django.db import migrations

# As the table's owner: the guard that refuses it is back before this transaction ends.
NAMELESS = r"""
ALTER TABLE billing_transfer DISABLE TRIGGER transfer_resolved_once;
UPDATE billing_transfer SET reason = regexp_replace(reason, ', chosen by \S+$', '')
WHERE kind = 'plan_fee' AND reason LIKE '%, chosen by %';
ALTER TABLE billing_transfer ENABLE TRIGGER transfer_resolved_once;
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0015_invoice_guards")]

    operations: ClassVar = [migrations.RunSQL(NAMELESS, migrations.RunSQL.noop)]
