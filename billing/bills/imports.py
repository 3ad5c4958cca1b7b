"""Keeping a provider's file as a bill: once, whole, and beside no other of the same days."""

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.models import User
from billing.bills import matching, reading
from billing.bills.reading import Line, Reading
from billing.costs import TOKENS
from billing.models import BillFormat, UpstreamBill, UpstreamBillLine
from providers.models import Channel, Provider

_FILE_NAME_CHARS = 200
_LINES_PER_INSERT = 2_000
# A unit of any currency is worth less than this many USD.
USD_PER_UNIT_MAX = Decimal(1_000)


class NotImported(Exception):
    """The file is readable, and what was asked of it cannot be done; the text says why."""


class Overlaps(NotImported):
    """Another bill says something of the same days already."""

    def __init__(self, bills: list[UpstreamBill]) -> None:
        names = "; ".join(f"{bill.file_name} ({bill})" for bill in bills[:3])
        super().__init__(f"These days have a bill already: {names}. It can be superseded.")
        self.bills = bills


@dataclass(frozen=True, slots=True)
class Terms:
    """What the file itself does not say."""

    format: BillFormat | None = None
    account: str = ""
    utc_offset_hours: int | None = None
    currency: str = ""
    usd_per_unit: Decimal | None = None
    supersedes: bool = False


def run(
    provider: str, file_name: str, data: bytes, terms: Terms, by: User | None = None
) -> tuple[UpstreamBill, bool]:
    """Keep the file and compare it. Returns its bill, and whether that is new: the same file again
    is the bill there is. Raises `Unreadable` and `NotImported`; then nothing has changed."""
    found = reading.read(file_name, data, wanted=terms.format, offset_hours=terms.utc_offset_hours)
    with transaction.atomic():
        # One import of a provider's at a time.
        row = Provider.objects.select_for_update().filter(slug=provider).first()
        if row is None:
            raise NotImported(f"There is no provider {provider!r}.")
        known = UpstreamBill.objects.filter(provider=provider, sha256=found.sha256).first()
        if known is not None:
            return known, False
        _check_account(row, terms.account)
        bill = _bill(provider, file_name, found, terms)
        overlapping = list(_overlapping(bill))
        if overlapping and not terms.supersedes:
            raise Overlaps(overlapping)
        bill.imported_by = by
        bill.save()
        _keep_lines(bill, found.lines)
        ids = [one.pk for one in overlapping]
        UpstreamBill.objects.filter(pk__in=ids).update(superseded_by=bill)
        matching.compare(bill)
        audit.record("bill.imported", None, str(bill), id=bill.pk, file=bill.file_name,
                     sha256=bill.sha256, rows=bill.rows, superseded=ids)  # fmt: skip
    return bill, True


def _check_account(provider: Provider, account: str) -> None:
    if account and not Channel.objects.filter(provider=provider, name=account).exists():
        raise NotImported(f"No channel of {provider} is called {account!r}.")


def _bill(provider: str, file_name: str, found: Reading, terms: Terms) -> UpstreamBill:
    currency, per_unit = _money(found, terms)
    return UpstreamBill(
        provider=provider,
        account=terms.account,
        format=found.format,
        file_name=file_name.rpartition("/")[2][-_FILE_NAME_CHARS:],
        sha256=found.sha256,
        bytes=found.bytes,
        rows=found.rows,
        rows_skipped=found.rows_skipped,
        first_day=found.first_day,
        last_day=found.last_day,
        utc_offset_hours=found.offset_hours,
        currency=currency,
        nanos_per_unit=per_unit,
        cost_step_nanos=reading.step_nanos(found.decimals, per_unit),
        has_usage=found.has_usage,
        has_cost=found.has_cost,
    )


def _money(found: Reading, terms: Terms) -> tuple[str, int]:
    """The bill's currency, and what a unit of it is in nanos of USD."""
    stated = terms.currency.upper()
    if found.currency and stated and found.currency != stated:
        raise NotImported(f"The file is in {found.currency}, not in {stated}.")
    currency = found.currency or stated or "USD"
    if currency == "USD":
        if terms.usd_per_unit not in (None, Decimal(1)):
            raise NotImported("A US dollar is worth one US dollar.")
        return currency, reading.nanos_per_unit(Decimal(1))
    if terms.usd_per_unit is None:
        raise NotImported(f"The file is in {currency}: say what one of it is in USD.")
    if not 0 < terms.usd_per_unit <= USD_PER_UNIT_MAX:
        raise NotImported(f"{terms.usd_per_unit} USD for one {currency} cannot be.")
    per_unit = reading.nanos_per_unit(terms.usd_per_unit)
    if not per_unit:
        raise NotImported(f"{terms.usd_per_unit} USD for one {currency} cannot be.")
    return currency, per_unit


def _overlapping(bill: UpstreamBill) -> list[UpstreamBill]:
    """Bills that count the same: usage beside usage, or cost beside cost. One for a single account
    is part of one for all of them."""
    says_the_same = Q(pk__in=[])
    if bill.has_usage:
        says_the_same |= Q(has_usage=True)
    if bill.has_cost:
        says_the_same |= Q(has_cost=True)
    accounts = Q() if not bill.account else Q(account__in=[bill.account, ""])
    return list(
        UpstreamBill.objects.filter(
            says_the_same,
            accounts,
            provider=bill.provider,
            superseded_by=None,
            first_day__lte=bill.last_day,
            last_day__gte=bill.first_day,
        ).order_by("pk")
    )


def _keep_lines(bill: UpstreamBill, lines: list[Line]) -> None:
    rows = [
        UpstreamBillLine(
            bill=bill,
            first_row=line.first_row,
            rows=line.rows,
            day=line.day,
            model=line.model,
            key=line.key,
            requests=line.counts.get("requests"),
            **{name: line.counts.get(name) for name in TOKENS},
            cost_nanos=(
                None if line.cost is None else reading.nanos(line.cost, bill.nanos_per_unit)
            ),
        )
        for line in lines
    ]
    UpstreamBillLine.objects.bulk_create(rows, batch_size=_LINES_PER_INSERT)


def accept(bill: UpstreamBill, note: str) -> bool:
    """An operator knows why the bill drifts: it alarms nobody any more, and its days stay as they
    are. False where that was said before."""
    with transaction.atomic():
        changed = UpstreamBill.objects.filter(pk=bill.pk, accepted_at=None).update(
            accepted_at=timezone.now(), accepted_note=note
        )
        if changed:
            audit.record("bill.accepted", None, str(bill), id=bill.pk, note=note)
    return bool(changed)
