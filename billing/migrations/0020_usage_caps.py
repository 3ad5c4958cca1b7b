"""Wallets count their month's usage, and organizations may cap it."""

from typing import ClassVar

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0019_bills")]

    operations: ClassVar = [
        migrations.AddField("account", "usage_month", models.DateField(blank=True, null=True)),
        migrations.AddField(
            "account", "usage_month_nanos", models.BigIntegerField(db_default=0, default=0)
        ),
        migrations.AddField(
            "account",
            "usage_cap_month_nanos",
            models.BigIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
        migrations.AddField(
            "subscription", "cap_reached_at", models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            "subscription", "cap_mailed_at", models.DateTimeField(blank=True, null=True)
        ),
    ]
