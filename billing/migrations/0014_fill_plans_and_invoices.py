"""What was before: invoices get an issuer and cents, and plans bought or given stay what they were.

A plan whose fee was paid this month is paid until its end and renewed then; one an operator gave
stays free.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.db import migrations
from django.db.models import F

NANOS_PER_MINOR = 10_000_000


def fill(apps: Any, schema_editor: Any) -> None:
    invoice = apps.get_model("billing", "Invoice")
    if invoice.objects.exists():
        issuer = apps.get_model("billing", "Issuer").objects.create(code="INV", name="ttonkapi")
        invoice.objects.update(
            issuer=issuer,
            total_minor=(F("total_nanos") + NANOS_PER_MINOR // 2) / NANOS_PER_MINOR,
        )
    now = datetime.now(UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (first + timedelta(days=32)).replace(day=1)
    keys = apps.get_model("billing", "IdempotencyKey").objects
    bought = (
        apps.get_model("billing", "Subscription")
        .objects.select_related("plan")
        .filter(plan__fee_nanos_per_month__gt=0)
    )
    for subscription in bought.iterator():
        prefix = f"plan_fee:{subscription.organization_id}:{subscription.plan_id}:"
        if keys.filter(key=f"{prefix}{first:%Y-%m}").exists():
            subscription.paid_nanos_per_month = subscription.plan.fee_nanos_per_month
            subscription.due_at = end
        elif keys.filter(key__startswith=prefix).exists():
            subscription.due_at = end
        else:
            subscription.is_fee_waived = True
        subscription.save(update_fields=["paid_nanos_per_month", "due_at", "is_fee_waived"])


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0013_plans_and_invoices")]

    operations: ClassVar = [migrations.RunPython(fill, migrations.RunPython.noop)]
