"""Data can be taken out of the audit log and still be proven whole, and a chain's end is sealed."""

from typing import ClassVar

from django.db import migrations, models

# What an erasure may change: who acted, from where, on what. Anything else of an entry never is.
GUARDS = """
DROP TRIGGER audit_never_changed ON accounts_auditentry;

CREATE TRIGGER audit_never_changed BEFORE UPDATE ON accounts_auditentry FOR EACH ROW
WHEN (NEW.erasure_hash = ''
      OR to_jsonb(NEW) - '{actor_email,address,target,details,erasure_hash}'::text[]
         IS DISTINCT FROM
         to_jsonb(OLD) - '{actor_email,address,target,details,erasure_hash}'::text[])
EXECUTE FUNCTION accounts_refuse_change();

CREATE TRIGGER audit_never_deleted BEFORE DELETE ON accounts_auditentry
FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
"""

OLD_GUARDS = """
DROP TRIGGER audit_never_deleted ON accounts_auditentry;
DROP TRIGGER audit_never_changed ON accounts_auditentry;

CREATE TRIGGER audit_never_changed BEFORE UPDATE OR DELETE ON accounts_auditentry
FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0007_invitations_and_projects")]

    operations: ClassVar = [
        migrations.AddField(
            "organization",
            "erased_at",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            "auditentry",
            "erasure_hash",
            models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            "audithead",
            "seal",
            models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.RunSQL(GUARDS, OLD_GUARDS),
    ]
