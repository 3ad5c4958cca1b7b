import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import F, Q

KINDS = [
    ("usage", "Usage"),
    ("usage_excess", "Usage above its hold"),
    ("usage_loss", "Usage nobody pays"),
    ("welcome", "Welcome credit"),
    ("top_up", "Top-up"),
    ("code", "Redeemed code"),
    ("refund", "Refund"),
    ("dispute", "Disputed payment"),
    ("plan_fee", "Plan fee"),
    ("plan_credit", "Included credit"),
    ("credit_note", "Credit note"),
    ("adjustment", "Adjustment"),
]
TAX_KINDS = [("none", "No tax"), ("standard", "Tax included"), ("reverse", "Reverse charge")]
LINE_KINDS = [("usage", "Usage"), ("fee", "Plan fee"), ("credit", "Included credit")]


def _id() -> models.BigAutoField:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("billing", "0012_adjustments"),
    ]

    operations = [
        migrations.AlterField("transfer", "kind", models.CharField(choices=KINDS, max_length=16)),
        migrations.AddField(
            "plan",
            "included_credit_nanos",
            models.BigIntegerField(
                default=0,
                db_default=0,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
        migrations.AddField(
            "plan", "projects_max", models.PositiveIntegerField(null=True, blank=True)
        ),
        migrations.AddField(
            "plan", "members_max", models.PositiveIntegerField(null=True, blank=True)
        ),
        migrations.AddField(
            "plan", "trial_days", models.PositiveSmallIntegerField(default=0, db_default=0)
        ),
        migrations.AddField(
            "plan",
            "organization",
            models.ForeignKey(
                null=True,
                blank=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="custom_plans",
                to="accounts.organization",
            ),
        ),
        migrations.AddConstraint(
            "plan",
            models.CheckConstraint(
                name="plan_credit_within_its_fee",
                condition=Q(
                    included_credit_nanos__gte=0,
                    included_credit_nanos__lte=F("fee_nanos_per_month"),
                ),
            ),
        ),
        migrations.AddField("subscription", "due_at", models.DateTimeField(null=True, blank=True)),
        migrations.AddField(
            "subscription",
            "paid_nanos_per_month",
            models.BigIntegerField(default=0, db_default=0),
        ),
        migrations.AddField(
            "subscription", "is_fee_waived", models.BooleanField(default=False, db_default=False)
        ),
        migrations.AddField(
            "subscription",
            "next_plan",
            models.ForeignKey(
                null=True,
                blank=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.plan",
            ),
        ),
        migrations.AddField(
            "subscription", "trial_started_at", models.DateTimeField(null=True, blank=True)
        ),
        migrations.AddField(
            "subscription", "trial_ends_at", models.DateTimeField(null=True, blank=True)
        ),
        migrations.AddField("subscription", "owed_from", models.DateField(null=True, blank=True)),
        migrations.AddField(
            "subscription", "tries", models.PositiveSmallIntegerField(default=0, db_default=0)
        ),
        migrations.AddIndex(
            "subscription",
            models.Index(
                name="subscription_due", fields=["due_at"], condition=Q(due_at__isnull=False)
            ),
        ),
        migrations.CreateModel(
            name="PlanCharge",
            fields=[
                ("id", _id()),
                (
                    "kind",
                    models.CharField(
                        choices=[("fee", "Plan fee"), ("credit", "Included credit")], max_length=8
                    ),
                ),
                ("plan_name", models.CharField(max_length=60)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("amount_nanos", models.BigIntegerField()),
                ("transfer_id", models.UUIDField(unique=True)),
                ("charged_at", models.DateTimeField()),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="plan_charges",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(name="plan_charge_by_time", fields=["charged_at", "organization"])
                ],
                "constraints": [
                    models.CheckConstraint(
                        name="plan_charge_is_above_zero", condition=Q(amount_nanos__gt=0)
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Issuer",
            fields=[
                ("id", _id()),
                ("code", models.SlugField(default="INV", max_length=8, unique=True)),
                ("name", models.CharField(default="ttonkapi", max_length=120)),
                ("line_1", models.CharField(blank=True, max_length=120)),
                ("postal_code", models.CharField(blank=True, max_length=20)),
                ("city", models.CharField(blank=True, max_length=80)),
                ("country", models.CharField(blank=True, max_length=2)),
                ("vat_id", models.CharField(blank=True, max_length=20)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("customer_countries", models.CharField(blank=True, max_length=800)),
            ],
            options={"ordering": ["pk"]},
        ),
        migrations.CreateModel(
            name="TaxRule",
            fields=[
                ("id", _id()),
                ("country", models.CharField(max_length=2)),
                ("rate_ppm", models.PositiveIntegerField()),
                ("is_reverse_charged", models.BooleanField(default=False)),
                (
                    "issuer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tax_rules",
                        to="billing.issuer",
                    ),
                ),
            ],
            options={
                "ordering": ["issuer", "country"],
                "constraints": [
                    models.UniqueConstraint(name="tax_rule_once", fields=["issuer", "country"])
                ],
            },
        ),
        migrations.AddField(
            "invoice",
            "issuer",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoices",
                to="billing.issuer",
            ),
        ),
        migrations.AddField("invoice", "total_minor", models.BigIntegerField(null=True)),
        migrations.AddField(
            "invoice", "tax_minor", models.BigIntegerField(default=0, db_default=0)
        ),
        migrations.AddField(
            "invoice",
            "tax_kind",
            models.CharField(choices=TAX_KINDS, default="none", db_default="none", max_length=8),
        ),
        migrations.AddField(
            "invoice", "tax_rate_ppm", models.PositiveIntegerField(default=0, db_default=0)
        ),
        migrations.AddField("invoice", "seller", models.JSONField(default=dict)),
        migrations.AddField("invoice", "buyer", models.JSONField(default=dict)),
        migrations.AddField(
            "invoiceline",
            "kind",
            models.CharField(choices=LINE_KINDS, default="usage", db_default="usage", max_length=8),
        ),
        migrations.AddField(
            "invoiceline", "transfer_id", models.UUIDField(null=True, blank=True, unique=True)
        ),
        migrations.AddField("invoiceline", "first_day", models.DateField(null=True, blank=True)),
        migrations.AddField("invoiceline", "last_day", models.DateField(null=True, blank=True)),
        migrations.AlterModelOptions(
            "invoiceline", {"ordering": ["invoice", "project_name", "model", "id"]}
        ),
        migrations.AlterModelOptions("invoice", {"ordering": ["-month", "-number"]}),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", _id()),
                ("number", models.PositiveIntegerField()),
                ("reason", models.CharField(max_length=200)),
                ("total_minor", models.BigIntegerField()),
                ("tax_minor", models.BigIntegerField()),
                ("transfer_id", models.UUIDField(unique=True)),
                ("issued_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_notes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "issuer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_notes",
                        to="billing.issuer",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.UniqueConstraint(
                        name="credit_note_number_once", fields=["issuer", "number"]
                    ),
                    models.CheckConstraint(
                        name="credit_note_is_above_zero",
                        condition=Q(total_minor__gt=0, tax_minor__gte=0),
                    ),
                ],
            },
        ),
    ]
