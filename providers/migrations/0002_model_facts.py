from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

CAPABILITIES = (
    ("thinking", "Thinks when asked"),
    ("tools", "Tools"),
    ("json", "JSON output"),
    ("vision", "Images"),
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("providers", "0001_initial")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="model",
            name="capabilities",
            field=ArrayField(
                models.CharField(choices=CAPABILITIES, max_length=12), blank=True, default=list
            ),
        ),
        migrations.AddField(
            model_name="model",
            name="aliases",
            field=ArrayField(models.CharField(max_length=100), blank=True, default=list),
        ),
        migrations.AddField(
            model_name="model",
            name="deprecated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="model",
            name="retires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="model",
            name="replacement",
            field=models.CharField(blank=True, max_length=100),
        ),
    ]
