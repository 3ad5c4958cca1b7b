"""Every invoice has an issuer and cents; and a finalised document is never edited or deleted."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

_TABLES = ("invoice", "invoiceline", "creditnote", "plancharge")
GUARDS = "".join(
    f"CREATE TRIGGER {table}_never_changed BEFORE UPDATE OR DELETE ON billing_{table}"
    " FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();"
    for table in _TABLES
)
NO_GUARDS = "".join(f"DROP TRIGGER {table}_never_changed ON billing_{table};" for table in _TABLES)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0014_fill_plans_and_invoices")]

    operations: ClassVar = [
        migrations.AlterField(
            "invoice",
            "issuer",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoices",
                to="billing.issuer",
            ),
        ),
        migrations.AlterField("invoice", "total_minor", models.BigIntegerField()),
        migrations.AlterField("invoice", "number", models.PositiveIntegerField()),
        migrations.AddConstraint(
            "invoice",
            models.UniqueConstraint(fields=["issuer", "number"], name="invoice_number_once"),
        ),
        migrations.AddConstraint(
            "invoiceline",
            models.CheckConstraint(
                name="line_of_a_plan_has_a_transfer",
                condition=models.Q(kind="usage", transfer_id=None)
                | (~models.Q(kind="usage") & models.Q(transfer_id__isnull=False)),
            ),
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
