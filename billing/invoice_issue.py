"""Writing invoices and credit notes: numbers, parties, tax and lines, in one transaction.

A number is the issuer's last one and one more, drawn while the issuer's row is locked, in the
transaction that writes the document: what is rolled back leaves no gap, and what runs beside it
waits.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone

from accounts import audit
from accounts.models import Organization, Project
from billing import ledger, notices, plan_mails, taxes
from billing.models import (
    BillingDetails,
    CreditNote,
    Invoice,
    InvoiceLine,
    Issuer,
    LineKind,
    PlanCharge,
    PlanChargeKind,
    TaxRule,
    TransferKind,
)
from billing.models.invoices import parties

_BUYER = ("company", "line_1", "line_2", "postal_code", "city", "region", "country", "vat_id")


class TooMuch(Exception):
    """More would be given back than the invoice was for; `left_minor` cents are left."""

    def __init__(self, left_minor: int) -> None:
        super().__init__(f"{left_minor} cents of the invoice are left")
        self.left_minor = left_minor


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One project's use of one model."""

    project_id: int
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    amount_nanos: int
    paid_nanos: int


@dataclass(frozen=True, slots=True)
class Group:
    """What goes on one organization's invoice."""

    organization_id: int
    usage: list[UsageLine] = field(default_factory=list)
    charges: list[PlanCharge] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """The ledger took what the usage records say."""
        return all(line.amount_nanos == line.paid_nanos for line in self.usage)

    @property
    def total_nanos(self) -> int:
        plan_nanos = sum(_signed(charge) for charge in self.charges)
        return plan_nanos + sum(line.amount_nanos for line in self.usage)


def issue(month: date, cutoff: datetime, groups: list[Group]) -> list[Invoice]:
    """Invoice each group that has no invoice of the month yet."""
    with transaction.atomic():
        issuers = _lock_issuers()
        ids = [group.organization_id for group in groups]
        done = set(
            Invoice.objects.filter(month=month, organization_id__in=ids).values_list(
                "organization_id", flat=True
            )
        )
        organizations = Organization.objects.select_related("billing_details").in_bulk(ids)
        rules = list(TaxRule.objects.all())
        numbers = {issuer.pk: _last(Invoice, issuer) for issuer in issuers}
        made = []
        for group in groups:
            if group.organization_id in done:
                continue
            organization = organizations[group.organization_id]
            issuer = _issuer_for(organization, issuers)
            numbers[issuer.pk] += 1
            own = [rule for rule in rules if rule.issuer_id == issuer.pk]
            made.append(
                _invoice(issuer, numbers[issuer.pk], organization, month, cutoff, group, own)
            )
        made = Invoice.objects.bulk_create(made)
        _write_lines(made, {group.organization_id: group for group in groups})
        for invoice in made:
            plan_mails.tell_of_invoice(invoice)
            notices.invoice_issued(invoice)
    return made


def give_back(invoice: Invoice, total_minor: int, reason: str) -> CreditNote:
    """A credit note over `total_minor` cents, and the transfer that puts them into the balance.

    All credit notes of an invoice together are no more than it was for: else `TooMuch`.
    """
    if total_minor <= 0:
        raise ValueError("an amount is a positive number of cents")
    with transaction.atomic():
        issuer = Issuer.objects.select_for_update().get(pk=invoice.issuer_id)
        given = invoice.credit_notes.aggregate(sum=Sum("total_minor"))["sum"] or 0
        if given + total_minor > invoice.total_minor:
            raise TooMuch(invoice.total_minor - given)
        number = _last(CreditNote, issuer) + 1
        moved = ledger.credit(
            ledger.open_wallet(invoice.organization),
            total_minor * taxes.NANOS_PER_MINOR,
            kind=TransferKind.CREDIT_NOTE,
            reason=f"Credit note {number} of {invoice}: {reason}",
        )
        note = CreditNote.objects.create(
            issuer=issuer,
            number=number,
            invoice=invoice,
            reason=reason,
            total_minor=total_minor,
            # What all notes together contain, less the notes before: so that giving all of an
            # invoice back gives exactly its tax back, however many notes that takes.
            tax_minor=taxes.included(given + total_minor, invoice.tax_rate_ppm)
            - taxes.included(given, invoice.tax_rate_ppm),
            transfer_id=moved.pk,
            issued_at=timezone.now(),
        )
        plan_mails.tell_of_credit_note(note)
        audit.record(
            "credit_note.issued", invoice.organization, str(note), invoice=str(invoice),
            total_minor=total_minor, reason=reason,
        )  # fmt: skip
    return note


def _lock_issuers() -> list[Issuer]:
    Issuer.default()
    return list(Issuer.objects.select_for_update().order_by("pk"))


def _last(documents: type[Invoice] | type[CreditNote], issuer: Issuer) -> int:
    found = documents.objects.filter(issuer=issuer).aggregate(last=Max("number"))
    return int(found["last"] or 0)


def _details(organization: Organization) -> BillingDetails | None:
    return getattr(organization, "billing_details", None)


def _issuer_for(organization: Organization, issuers: list[Issuer]) -> Issuer:
    details = _details(organization)
    country = details.country if details else ""
    for issuer in issuers:
        if country and country in issuer.customer_countries.split():
            return issuer
    return issuers[0]


def _invoice(
    issuer: Issuer,
    number: int,
    organization: Organization,
    month: date,
    cutoff: datetime,
    group: Group,
    rules: list[TaxRule],
) -> Invoice:
    details = _details(organization)
    tax = taxes.decide(issuer, rules, details)
    total_minor = taxes.to_minor(group.total_nanos)
    buyer = {name: getattr(details, name, "") for name in _BUYER}
    return Invoice(
        issuer=issuer,
        number=number,
        organization=organization,
        month=month,
        total_nanos=group.total_nanos,
        total_minor=total_minor,
        tax_minor=taxes.included(total_minor, tax.rate_ppm),
        tax_kind=tax.kind,
        tax_rate_ppm=tax.rate_ppm,
        seller=parties(issuer),
        buyer=buyer | {"company": buyer["company"] or organization.name},
        finalized_at=cutoff,
    )


def _write_lines(made: list[Invoice], groups: dict[int, Group]) -> None:
    mine = [groups[invoice.organization_id] for invoice in made]
    names = _project_names(line.project_id for group in mine for line in group.usage)
    InvoiceLine.objects.bulk_create(
        line
        for invoice, group in zip(made, mine, strict=True)
        for line in (
            *(InvoiceLine(invoice=invoice, **_usage_fields(one, names)) for one in group.usage),
            *(InvoiceLine(invoice=invoice, **_charge_fields(one)) for one in group.charges),
        )
    )


def _project_names(project_ids: Iterable[int]) -> dict[int, str]:
    rows = Project.objects.filter(pk__in=set(project_ids)).values_list("pk", "name")
    return dict(rows)


def _usage_fields(line: UsageLine, project_names: dict[int, str]) -> dict[str, Any]:
    return {
        "project_id": line.project_id,
        "project_name": project_names.get(line.project_id, "Deleted project"),
        "model": line.model,
        "requests": line.requests,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "amount_nanos": line.amount_nanos,
    }


def _charge_fields(charge: PlanCharge) -> dict[str, Any]:
    is_credit = charge.kind == PlanChargeKind.CREDIT
    return {
        "kind": LineKind.CREDIT if is_credit else LineKind.FEE,
        "project_name": "",
        "model": charge.plan_name,
        "requests": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "amount_nanos": _signed(charge),
        "transfer_id": charge.transfer_id,
        "first_day": charge.first_day,
        "last_day": charge.last_day,
    }


def _signed(charge: PlanCharge) -> int:
    """Nanos; a credit takes from the invoice's total."""
    is_credit = charge.kind == PlanChargeKind.CREDIT
    return -charge.amount_nanos if is_credit else charge.amount_nanos
