"""A project's budget is part of every principal of its keys: tell gateways when it changes."""

from typing import ClassVar

from django.db import migrations

TRIGGERS = """
CREATE TRIGGER gateway_tell_changed AFTER UPDATE ON accounts_project FOR EACH ROW
WHEN (NEW.budget_month_nanos IS DISTINCT FROM OLD.budget_month_nanos)
EXECUTE FUNCTION gateway_tell_row('organization', 'organization_id');
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0007_invitations_and_projects"),
        ("gateway", "0002_status"),
    ]

    operations: ClassVar = [
        migrations.RunSQL(TRIGGERS, "DROP TRIGGER gateway_tell_changed ON accounts_project")
    ]
