"""What every database starts with: platform accounts, the three plans, the rollups' watermark.

`lay` may run any number of times: it makes what is missing and edits nothing, so an operator's
own figures stay. Tests that truncate the tables call it again.
"""

from typing import Any, ClassVar

from django.db import migrations

PLATFORM_KINDS = ("revenue", "payments", "promotions", "adjustments", "operator_loss")
_USD = 1_000_000_000
PLANS: tuple[dict[str, Any], ...] = (
    {
        "slug": "starter",
        "name": "Starter",
        "fee_nanos_per_month": 0,
        "requests_per_minute": 60,
        "tokens_per_minute": 10_000,
        "position": 10,
    },
    {
        "slug": "pro",
        "name": "Pro",
        "fee_nanos_per_month": 20 * _USD,
        "requests_per_minute": 300,
        "tokens_per_minute": 100_000,
        "position": 20,
    },
    {
        "slug": "business",
        "name": "Business",
        "fee_nanos_per_month": 200 * _USD,
        "requests_per_minute": 1_000,
        "tokens_per_minute": None,
        "position": 30,
    },
)


def lay(apps: Any, schema_editor: Any = None) -> None:
    account = apps.get_model("billing", "Account")
    for kind in PLATFORM_KINDS:
        account.objects.get_or_create(kind=kind, organization=None)
    plan = apps.get_model("billing", "Plan")
    for facts in PLANS:
        plan.objects.get_or_create(slug=facts["slug"], defaults={**facts, "is_public": True})
    watermark = apps.get_model("billing", "RollupWatermark")
    if not watermark.objects.exists():
        # Nothing has been used before the first migration, so there is nothing below to count.
        watermark.objects.create(pk=1, xid=_oldest_running(watermark))


def _oldest_running(model: Any) -> int:
    """The oldest transaction still running. Zero where usage records came before the watermark."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CASE WHEN EXISTS (SELECT FROM billing_usagerecord) THEN 0"
            " ELSE pg_snapshot_xmin(pg_current_snapshot())::text::bigint END"
        )
        return int(cursor.fetchone()[0])


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0002_ledger_guards")]

    operations: ClassVar = [migrations.RunPython(lay, migrations.RunPython.noop)]
