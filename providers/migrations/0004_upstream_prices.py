"""What upstreams charge. The database refuses to change a version that is there, whoever asks:
what a day cost must recompute from it for as long as its usage is kept."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

GUARDS = """
CREATE FUNCTION providers_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % % is refused: it is never edited', TG_OP, TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER upstream_price_never_edited BEFORE UPDATE OR DELETE ON providers_upstreamprice
FOR EACH ROW EXECUTE FUNCTION providers_refuse_change();

CREATE TRIGGER upstream_rate_never_edited BEFORE UPDATE OR DELETE ON providers_upstreamrate
FOR EACH ROW EXECUTE FUNCTION providers_refuse_change();
"""

NO_GUARDS = """
DROP TRIGGER upstream_rate_never_edited ON providers_upstreamrate;
DROP TRIGGER upstream_price_never_edited ON providers_upstreamprice;
DROP FUNCTION providers_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("providers", "0003_fill_capabilities"),
    ]

    operations = [
        migrations.CreateModel(
            name="UpstreamPrice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=40)),
                ("model", models.CharField(max_length=100)),
                ("channel_id", models.BigIntegerField(blank=True, null=True)),
                ("effective_at", models.DateTimeField()),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["provider", "model", "channel_id", "-effective_at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("provider", "model", "channel_id", "effective_at"),
                        name="upstream_price_version_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UpstreamRate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("context_tokens_min", models.PositiveIntegerField(default=0)),
                (
                    "weekdays",
                    models.PositiveSmallIntegerField(
                        default=0, validators=[django.core.validators.MaxValueValidator(127)]
                    ),
                ),
                ("start_minute", models.PositiveSmallIntegerField(default=0)),
                ("end_minute", models.PositiveSmallIntegerField(default=1440)),
                (
                    "input_nanos",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "cached_input_nanos",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "cache_write_nanos",
                    models.BigIntegerField(
                        default=0, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "output_nanos",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "reasoning_output_nanos",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rates",
                        to="providers.upstreamprice",
                    ),
                ),
            ],
            options={
                "ordering": ["price", "context_tokens_min", "weekdays", "start_minute"],
            },
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
