"""Upstreams' bills. A line is never edited, nor is what a bill says of its file: only what became
of the bill (superseded, compared, told of, accepted) is written later."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

GUARDS = """
CREATE TRIGGER bill_line_never_edited BEFORE UPDATE OR DELETE ON billing_upstreambillline
FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();

CREATE TRIGGER bill_never_deleted BEFORE DELETE ON billing_upstreambill
FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();

CREATE TRIGGER bill_never_edited BEFORE UPDATE ON billing_upstreambill FOR EACH ROW
WHEN (to_jsonb(NEW) - ARRAY['superseded_by_id', 'evaluated_at', 'alarmed_at', 'accepted_at',
                            'accepted_note', 'imported_by_id']
      IS DISTINCT FROM
      to_jsonb(OLD) - ARRAY['superseded_by_id', 'evaluated_at', 'alarmed_at', 'accepted_at',
                            'accepted_note', 'imported_by_id'])
EXECUTE FUNCTION billing_refuse_change();
"""

NO_GUARDS = """
DROP TRIGGER bill_never_edited ON billing_upstreambill;
DROP TRIGGER bill_never_deleted ON billing_upstreambill;
DROP TRIGGER bill_line_never_edited ON billing_upstreambillline;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0018_refund_asked_at"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="costday",
            name="metered",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="upstreamhour",
            name="metered",
            field=models.BigIntegerField(default=0),
        ),
        migrations.CreateModel(
            name="UpstreamBill",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=40)),
                ("account", models.CharField(blank=True, max_length=100)),
                (
                    "format",
                    models.CharField(
                        choices=[
                            ("deepseek", "DeepSeek usage export"),
                            ("dashscope", "Alibaba Cloud bill"),
                            ("plain", "Plain table"),
                        ],
                        max_length=12,
                    ),
                ),
                ("file_name", models.CharField(max_length=200)),
                ("sha256", models.CharField(max_length=64)),
                ("bytes", models.PositiveIntegerField()),
                ("rows", models.PositiveIntegerField()),
                ("rows_skipped", models.PositiveIntegerField(default=0)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("utc_offset_hours", models.SmallIntegerField(default=0)),
                ("currency", models.CharField(max_length=3)),
                ("nanos_per_unit", models.BigIntegerField()),
                ("cost_step_nanos", models.BigIntegerField(default=0)),
                ("has_usage", models.BooleanField()),
                ("has_cost", models.BooleanField()),
                (
                    "imported_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("evaluated_at", models.DateTimeField(blank=True, null=True)),
                ("alarmed_at", models.DateTimeField(blank=True, null=True)),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("accepted_note", models.CharField(blank=True, max_length=300)),
                (
                    "imported_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "superseded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="supersedes",
                        to="billing.upstreambill",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="ReconciledDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("model", models.CharField(max_length=100)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("matched", "Reconciled"),
                            ("drift", "Drifts"),
                            ("missing_here", "Missing here"),
                            ("missing_there", "Missing there"),
                        ],
                        max_length=16,
                    ),
                ),
                ("is_open", models.BooleanField()),
                ("is_alarming", models.BooleanField()),
                ("here", models.JSONField()),
                ("there", models.JSONField()),
                ("cost_here_nanos", models.BigIntegerField()),
                ("cost_there_nanos", models.BigIntegerField(null=True)),
                (
                    "bill",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="days",
                        to="billing.upstreambill",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="UpstreamBillLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("first_row", models.PositiveIntegerField()),
                ("rows", models.PositiveIntegerField()),
                ("day", models.DateField()),
                ("model", models.CharField(max_length=100)),
                ("key", models.CharField(blank=True, max_length=100)),
                ("requests", models.BigIntegerField(null=True)),
                ("input_tokens", models.BigIntegerField(null=True)),
                ("cached_input_tokens", models.BigIntegerField(null=True)),
                ("cache_write_tokens", models.BigIntegerField(null=True)),
                ("output_tokens", models.BigIntegerField(null=True)),
                ("reasoning_output_tokens", models.BigIntegerField(null=True)),
                ("cost_nanos", models.BigIntegerField(null=True)),
                (
                    "bill",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="billing.upstreambill",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="upstreambill",
            constraint=models.UniqueConstraint(
                fields=("provider", "sha256"), name="upstream_bill_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="reconciledday",
            constraint=models.UniqueConstraint(
                fields=("bill", "day", "model"), name="reconciled_day_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="upstreambillline",
            constraint=models.UniqueConstraint(
                fields=("bill", "day", "model", "key"), name="upstream_bill_line_once"
            ),
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
