from typing import ClassVar

from django.db import migrations, models

STATES = ((1, "Operational"), (2, "Degraded"), (3, "Down"))


def _id() -> models.BigAutoField:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("gateway", "0001_change_notifications")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_index=True)),
                ("facts", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="ProbeMinute",
            fields=[
                ("id", _id()),
                ("component", models.CharField(max_length=140)),
                ("minute", models.DateTimeField(db_index=True)),
                ("state", models.SmallIntegerField(choices=STATES)),
                ("milliseconds", models.IntegerField(null=True)),
                ("note", models.CharField(max_length=200)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("component", "minute"), name="probe_minute_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ProbeDay",
            fields=[
                ("id", _id()),
                ("component", models.CharField(max_length=140)),
                ("day", models.DateField()),
                ("up", models.IntegerField()),
                ("degraded", models.IntegerField()),
                ("down", models.IntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("component", "day"), name="probe_day_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", _id()),
                ("component", models.CharField(max_length=140)),
                ("state", models.SmallIntegerField(choices=STATES)),
                ("note", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField(db_index=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("component",),
                        name="incident_open_once",
                    )
                ],
            },
        ),
    ]
