"""One refund of an order is under way at a time."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0017_costs")]

    operations: ClassVar = [
        migrations.AddField(
            "paymentorder", "refund_asked_at", models.DateTimeField(blank=True, null=True)
        ),
    ]
