"""The cap stands in the wallet, where it holds."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0021_fill_usage_caps")]

    operations: ClassVar = [migrations.RemoveField("subscription", "spend_cap_month_nanos")]
