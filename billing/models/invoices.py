"""Invoices and credit notes: finalised once, never edited (database triggers see to it).

A line's `amount_nanos` is exactly what moved in the ledger. A document's own amounts are whole
cents (`_minor`), tax included, as `billing.taxes` rounds them.
"""

import re
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization

_REFERENCE = re.compile(r"(?:#|([A-Z0-9]{1,8})-)?([0-9]{1,9})", re.IGNORECASE)


class Issuer(models.Model):
    """Who sells: the company on invoices. Each has gapless numbers of its own."""

    code = models.SlugField(max_length=8, unique=True, default="INV")  # before the numbers
    name = models.CharField(max_length=120, default="ttonkapi")
    line_1 = models.CharField(max_length=120, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=2, blank=True)  # ISO 3166-1 alpha-2
    vat_id = models.CharField(max_length=20, blank=True)
    email = models.EmailField(blank=True)
    # Customers of these countries are this issuer's ("DE FR"); all others the first issuer's.
    customer_countries = models.CharField(max_length=800, blank=True)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.code}: {self.name}"

    @classmethod
    def default(cls) -> "Issuer":
        return cls.objects.first() or cls.objects.get_or_create(code="INV")[0]


class TaxRule(models.Model):
    """What an issuer's customers of one country pay. A country without a rule: no tax."""

    issuer = models.ForeignKey(Issuer, on_delete=models.CASCADE, related_name="tax_rules")
    country = models.CharField(max_length=2)
    rate_ppm = models.PositiveIntegerField()  # 190,000 is 19 %
    # A customer abroad who states a VAT id of this country owes the tax themselves.
    is_reverse_charged = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar = ["issuer", "country"]
        constraints: ClassVar = [
            models.UniqueConstraint(name="tax_rule_once", fields=["issuer", "country"])
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.rate_ppm / 10_000:g} %"


class TaxKind(models.TextChoices):
    NONE = "none", _("No tax")
    STANDARD = "standard", _("Tax included")
    REVERSE = "reverse", _("Reverse charge")


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def named(self, reference: str) -> "InvoiceQuerySet":
        """By what stands on it (`INV-000012`), or a bare number of the first issuer's."""
        parts = _REFERENCE.fullmatch(reference)
        if parts is None:
            return self.none()
        code, number = parts.groups()
        if code:
            return self.filter(issuer__code__iexact=code, number=int(number))
        return self.filter(issuer=Issuer.default(), number=int(number))


class Invoice(models.Model):
    """One organization's month. `number` is gapless for its issuer."""

    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="invoices")
    number = models.PositiveIntegerField()
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="invoices"
    )
    month = models.DateField()  # its first day, UTC
    total_nanos = models.BigIntegerField()
    total_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0, db_default=0)
    tax_kind = models.CharField(
        max_length=8, choices=TaxKind, default=TaxKind.NONE, db_default=TaxKind.NONE
    )
    tax_rate_ppm = models.PositiveIntegerField(default=0, db_default=0)
    # Both sides as they were called on the day.
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    finalized_at = models.DateTimeField(default=timezone.now)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-month", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "month"], name="invoice_month_once"),
            models.UniqueConstraint(fields=["issuer", "number"], name="invoice_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.seller.get('code', 'INV')}-{self.number:06d}"

    @property
    def net_minor(self) -> int:
        return self.total_minor - self.tax_minor


class LineKind(models.TextChoices):
    USAGE = "usage", _("Usage")
    FEE = "fee", _("Plan fee")
    CREDIT = "credit", _("Included credit")


class InvoiceLine(models.Model):
    """What one project used of one model in the month, or one plan charge."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    kind = models.CharField(
        max_length=8, choices=LineKind, default=LineKind.USAGE, db_default=LineKind.USAGE
    )
    project_name = models.CharField(max_length=100)
    project_id = models.BigIntegerField(default=0)
    model = models.CharField(max_length=100)  # of a fee or credit: the plan
    requests = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()  # a credit's is below zero
    transfer_id = models.UUIDField(null=True, blank=True, unique=True)
    first_day = models.DateField(null=True, blank=True)
    last_day = models.DateField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["invoice", "project_name", "model", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="line_of_a_plan_has_a_transfer",
                condition=Q(kind="usage", transfer_id=None)
                | (~Q(kind="usage") & Q(transfer_id__isnull=False)),
            )
        ]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.project_name} {self.model}"


class CreditNote(models.Model):
    """Part of an invoice given back to the balance, by a transfer of its own."""

    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="credit_notes")
    number = models.PositiveIntegerField()
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    reason = models.CharField(max_length=200)
    total_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField()
    transfer_id = models.UUIDField(unique=True)
    issued_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["issuer", "number"], name="credit_note_number_once"),
            models.CheckConstraint(
                name="credit_note_is_above_zero", condition=Q(total_minor__gt=0, tax_minor__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice.seller.get('code', 'INV')}-C-{self.number:06d}"


def parties(seller: Issuer) -> dict[str, Any]:
    """The issuer as an invoice keeps it."""
    names = ("code", "name", "line_1", "postal_code", "city", "country", "vat_id", "email")
    return {name: getattr(seller, name) for name in names}
