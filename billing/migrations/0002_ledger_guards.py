"""What the database refuses, whoever asks: changing money that has been moved.

A pending transfer may be resolved or extended, by UPDATE only. A resolved one, and a usage record,
is never changed or deleted; old partitions go by DROP, which no row trigger sees. Partitions get
their copies of these triggers from the table they belong to. The conditions
stand in WHEN, so the hot path's updates of pending rows never enter a function.

One thing about a usage record is no fact about its request: `xid`, the inserting transaction.
Setting it to zero and nothing else is allowed, for a database restored into another cluster,
whose transaction ids mean nothing any more (see billing.rollups).
"""

from typing import ClassVar

from django.db import migrations

GUARDS = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % % is refused: it is never edited', TG_OP, TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER transfer_resolved_once BEFORE UPDATE ON billing_transfer FOR EACH ROW
WHEN (OLD.state <> 'pending'
      OR NEW.id IS DISTINCT FROM OLD.id
      OR NEW.kind IS DISTINCT FROM OLD.kind
      OR NEW.held_nanos IS DISTINCT FROM OLD.held_nanos
      OR NEW.debit_account_id IS DISTINCT FROM OLD.debit_account_id
      OR NEW.credit_account_id IS DISTINCT FROM OLD.credit_account_id)
EXECUTE FUNCTION billing_refuse_change();

CREATE TRIGGER transfer_never_deleted BEFORE DELETE ON billing_transfer FOR EACH ROW
EXECUTE FUNCTION billing_refuse_change();

CREATE TRIGGER usage_never_edited BEFORE UPDATE ON billing_usagerecord FOR EACH ROW
WHEN (NEW.xid <> 0 OR to_jsonb(NEW) - 'xid' IS DISTINCT FROM to_jsonb(OLD) - 'xid')
EXECUTE FUNCTION billing_refuse_change();

CREATE TRIGGER usage_never_deleted BEFORE DELETE ON billing_usagerecord FOR EACH ROW
EXECUTE FUNCTION billing_refuse_change();
"""

NO_GUARDS = """
DROP TRIGGER usage_never_deleted ON billing_usagerecord;
DROP TRIGGER usage_never_edited ON billing_usagerecord;
DROP TRIGGER transfer_never_deleted ON billing_transfer;
DROP TRIGGER transfer_resolved_once ON billing_transfer;
DROP FUNCTION billing_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0001_initial")]

    operations: ClassVar = [migrations.RunSQL(GUARDS, NO_GUARDS)]
