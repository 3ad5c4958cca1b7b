"""What came into a balance and went out of it: single transfers, and usage added up per day.

One position orders both: a transfer's own id, which begins with its time, and for a day of usage
the lowest id of that day. So a page of the list, and the page after it, each cost the same however
long the list is.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import cast

from django.db.models import Sum
from django.utils.translation import gettext as _

from billing import settlements
from billing.models import Account, Transfer, TransferKind, TransferState, UsageDay

_USAGE_KINDS = (TransferKind.USAGE, TransferKind.USAGE_EXCESS, TransferKind.USAGE_LOSS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: positive came in, negative went out. `at` is None for a day of usage."""

    position: uuid.UUID
    day: date
    at: datetime | None
    title: str
    note: str
    amount_nanos: int
    usage_day: date | None = None
    transfer_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`older` is the position to go on from; None at the end."""

    entries: list[Entry]
    older: uuid.UUID | None


def page(wallet: Account, size: int, before: uuid.UUID | None = None) -> Page:
    """The newest `size` entries that are older than `before`."""
    found = [_entry(transfer, wallet) for transfer in _transfers(wallet, size + 1, before)]
    found += _usage(cast(int, wallet.organization_id), size + 1, before)
    found.sort(key=lambda entry: entry.position, reverse=True)
    is_more = len(found) > size
    return Page(found[:size], found[size - 1].position if is_more else None)


def walk(wallet: Account, most: int, size: int) -> Iterator[list[Entry]]:
    """The newest `most` entries, `size` at a time."""
    before: uuid.UUID | None = None
    while most > 0:
        step = page(wallet, min(size, most), before)
        yield step.entries
        most -= len(step.entries)
        before = step.older
        if before is None:
            return


def _transfers(wallet: Account, size: int, before: uuid.UUID | None) -> list[Transfer]:
    """From each side's index: asked for both sides at once, the database reads usage instead."""
    found: list[Transfer] = []
    for side in ("credit_account", "debit_account"):
        rows = Transfer.objects.filter(**{side: wallet}, state=TransferState.POSTED)
        rows = rows.exclude(kind__in=_USAGE_KINDS)
        if before is not None:
            rows = rows.filter(pk__lt=before)
        found += rows.order_by("-id")[:size]
    return found


def _usage(organization_id: int, size: int, before: uuid.UUID | None) -> list[Entry]:
    rows = UsageDay.objects.filter(organization_id=organization_id)
    if before is not None:
        millis = before.int >> 80
        moment = datetime.fromtimestamp(millis / 1000, UTC)
        rows = rows.filter(day__lte=moment.date())
    days = (
        rows.order_by()
        .values("day")
        .annotate(nanos=Sum("charge_nanos"), requests=Sum("requests"))
        .order_by("-day")[: size + 1]
    )
    entries = [_usage_entry(row["day"], row["nanos"], row["requests"]) for row in days]
    return [one for one in entries if before is None or one.position < before]


def _entry(transfer: Transfer, wallet: Account) -> Entry:
    sign = 1 if transfer.credit_account_id == wallet.pk else -1
    at = transfer.resolved_at or transfer.created_at
    kind = TransferKind(transfer.kind)
    title = _title(kind, sign)
    # Reasons are kept in English, whatever the reader's language is. A welcome's says no more.
    is_told = kind == TransferKind.WELCOME or transfer.reason == title
    note = "" if is_told else transfer.reason
    return Entry(
        transfer.pk, at.date(), at, title, note, sign * transfer.amount_nanos,
        transfer_id=transfer.pk,
    )  # fmt: skip


def _title(kind: TransferKind, sign: int) -> str:
    if kind == TransferKind.DISPUTE:
        return _("Dispute won") if sign > 0 else _("Disputed payment")
    titles = {
        TransferKind.WELCOME: _("Welcome credit"),
        TransferKind.TOP_UP: _("Top-up"),
        TransferKind.CODE: _("Redeemed code"),
        TransferKind.REFUND: _("Refund"),
        TransferKind.PLAN_FEE: _("Plan fee"),
        TransferKind.PLAN_CREDIT: _("Included credit"),
        TransferKind.CREDIT_NOTE: _("Credit note"),
        TransferKind.ADJUSTMENT: _("Adjustment"),
    }
    return titles.get(kind, str(kind.label))


def _usage_entry(day: date, nanos: int, requests: int) -> Entry:
    note = _("%(n)s requests") % {"n": f"{requests:,}"}
    position = settlements.first_id_at(datetime.combine(day, time(), UTC))
    return Entry(position, day, None, _("Usage"), note, -nanos, usage_day=day)
