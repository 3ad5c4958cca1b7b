"""Redeem codes: made in bulk by an operator, shown once, worth their amount once."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.models import Organization, User
from billing import ledger
from billing.models import RedeemCode, Transfer, TransferKind

COUNT_MAX = 10_000
# 32 letters, none that looks like another: 16 of them are 80 random bits.
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_LENGTH = 16
_ROWS_AT_ONCE = 1_000
_ALIKE = str.maketrans("", "", " -–—\t")


class NotRedeemable(Exception):
    """No such code, or used, or expired: whoever guesses is not told which."""


def create(
    count: int, amount_nanos: int, *, batch: str, expires_at: datetime | None = None
) -> Iterator[str]:
    """Codes as they are handed out, such as `7GQ4-M2XD-…`: all of them are stored before the first
    is returned, and none can be shown again. Raises ValueError for counts out of bounds."""
    if not 1 <= count <= COUNT_MAX:
        raise ValueError(f"between 1 and {COUNT_MAX} codes at once")
    made = ["".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for _ in range(count)]
    RedeemCode.objects.bulk_create(
        (
            RedeemCode(
                digest=_digest(code),
                last_four=code[-4:],
                batch=batch[:60],
                amount_nanos=amount_nanos,
                expires_at=expires_at,
            )
            for code in made
        ),
        batch_size=_ROWS_AT_ONCE,
    )
    return ("-".join(code[n : n + 4] for n in range(0, _LENGTH, 4)) for code in made)


def redeem(organization: Organization, text: str, *, by: User | None = None) -> Transfer:
    """Credit what the code is worth, once however often and by whomever it is sent at the same
    time. Raises `NotRedeemable`."""
    code = text.upper().translate(_ALIKE)
    if len(code) != _LENGTH or not set(code) <= set(_LETTERS):
        raise NotRedeemable
    with transaction.atomic():
        now = timezone.now()
        usable = RedeemCode.objects.filter(digest=_digest(code), redeemed_at=None).filter(
            Q(expires_at=None) | Q(expires_at__gt=now)
        )
        # The second of two waits here for the first, and then finds it used.
        row = usable.select_for_update().first()
        if row is None:
            raise NotRedeemable
        transfer = ledger.credit(
            ledger.open_wallet(organization),
            row.amount_nanos,
            kind=TransferKind.CODE,
            reason=f"Code …{row.last_four}",
            idempotency_key=f"code:{row.pk}",
        )
        row.redeemed_at, row.redeemed_by, row.organization = now, by, organization
        row.transfer_id = transfer.pk
        row.save(update_fields=["redeemed_at", "redeemed_by", "organization", "transfer_id"])
        audit.record("code.redeemed", organization, str(row), amount_nanos=row.amount_nanos)
    return transfer


def _digest(code: str) -> str:
    """Under the keys' pepper, and not a key's digest: a stolen table opens nothing."""
    return hmac.new(
        settings.KEY_PEPPER.encode(), b"redeem:" + code.encode(), hashlib.sha256
    ).hexdigest()
