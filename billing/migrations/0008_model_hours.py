from typing import ClassVar

from django.db import migrations, models

MEASURES = (
    ("served", "Answered"),
    ("failed", "Failed"),
    ("first_token", "Time to first token"),
    ("speed", "Speed"),
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0007_payments")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="ModelHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=100)),
                ("hour", models.DateTimeField()),
                ("measure", models.CharField(choices=MEASURES, max_length=12)),
                ("bucket", models.SmallIntegerField()),
                ("requests", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("model", "hour", "measure", "bucket"), name="model_hour_once"
                    )
                ],
            },
        ),
    ]
