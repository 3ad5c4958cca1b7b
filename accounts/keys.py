"""API keys: made once, stored as a digest, checked without a database where they are garbage.

A key is `ttonk_sk_` (or `ttonk_sk_test_`), 30 random base-62 characters (178 bits) and 6
characters of CRC32 over what stands before, so that a typo or an invented key is refused
before any look-up.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from accounts import audit, letters, mail
from accounts.models import ApiKey, Membership, Project, Role, User
from accounts.webhooks import notices

LIVE_PREFIX = "ttonk_sk_"
TEST_PREFIX = "ttonk_sk_test_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS = 30
_CHECK_CHARS = 6
_TOLD_MAX = 50  # owners and admins that hear of a new key
# What may change while a key lives. Its project stays: its usage is counted there.
CHANGEABLE = (
    "name",
    "expires_at",
    "allowed_models",
    "allowed_addresses",
    "spend_cap_day_nanos",
    "spend_cap_month_nanos",
    "requests_per_minute",
    "tokens_per_minute",
)
OVERLAP_MAX = timedelta(days=7)
_LINEAGE_MAX = 20
# Sent inside the transaction that rotates a key, so that billing can carry over what was spent
# of its caps. Arguments: old, new (ApiKey rows).
key_rotated = Signal()
_SHAPE = re.compile(r"ttonk_sk_(?:test_)?([0-9A-Za-z]{30})([0-9A-Za-z]{6})")


# Both ways from one key, each step by an index.
_LINEAGE = """
WITH RECURSIVE line AS (
    SELECT id, rotated_from_id FROM accounts_apikey WHERE id = %s
    UNION SELECT beside.id, beside.rotated_from_id FROM line, LATERAL (
        SELECT id, rotated_from_id FROM accounts_apikey WHERE id = line.rotated_from_id
        UNION ALL
        SELECT id, rotated_from_id FROM accounts_apikey WHERE rotated_from_id = line.id
    ) beside
)
SELECT * FROM accounts_apikey WHERE id IN (SELECT id FROM line LIMIT %s)
"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the row, and the secret that is shown this once."""

    row: ApiKey
    secret: str


class NotRotatable(Exception):
    """The key is closed, or has a successor already."""


def _check(text: str) -> str:
    number = zlib.crc32(text.encode())
    out = ""
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        out = _ALPHABET[digit] + out
    return out


def generate(*, test: bool = False) -> str:
    """A fresh secret of 178 random bits with its check characters."""
    prefix = TEST_PREFIX if test else LIVE_PREFIX
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return body + _check(body)


def derive(material: str) -> str:
    """The secret that belongs to `material` under the pepper: always the same, stored nowhere."""
    mac = hmac.digest(settings.KEY_PEPPER.encode(), f"derive:{material}".encode(), hashlib.sha256)
    number, body = int.from_bytes(mac), LIVE_PREFIX
    for _ in range(_RANDOM_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        body += _ALPHABET[digit]
    return body + _check(body)


def is_well_formed(secret: str) -> bool:
    """Whether the shape and the check characters are right. No look-up, no timing secret."""
    return (
        bool(_SHAPE.fullmatch(secret)) and _check(secret[:-_CHECK_CHARS]) == secret[-_CHECK_CHARS:]
    )


def digest(secret: str) -> str:
    """HMAC-SHA256 under the pepper, in hex: what is stored and looked up."""
    return hmac.digest(settings.KEY_PEPPER.encode(), secret.encode(), hashlib.sha256).hex()


def shown_of(secret: str) -> dict[str, str]:
    """The parts of a secret that lists show, by the names of their fields."""
    is_test = secret.startswith(TEST_PREFIX)
    head = len(TEST_PREFIX if is_test else LIVE_PREFIX) + 4
    return {"prefix": secret[:head], "last_four": secret[-4:]}


def create(
    project: Project,
    name: str,
    *,
    created_by: User | None = None,
    expires_at: datetime | None = None,
    allowed_models: list[str] | None = None,
    allowed_addresses: list[str] | None = None,
    spend_cap_day_nanos: int | None = None,
    spend_cap_month_nanos: int | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    test: bool = False,
    announce: bool = True,
    rotated_from: ApiKey | None = None,
) -> NewKey:
    """Make a key in `project`. The secret is in the answer and nowhere else. What a person makes
    is mailed to the organization's owners and admins, unless `announce` is off."""
    secret = generate(test=test)
    with transaction.atomic():
        row = ApiKey.objects.create(
            organization_id=project.organization_id,
            project=project,
            name=name,
            digest=digest(secret),
            **shown_of(secret),
            created_by=created_by,
            expires_at=expires_at,
            allowed_models=allowed_models or [],
            allowed_addresses=allowed_addresses or [],
            spend_cap_day_nanos=spend_cap_day_nanos,
            spend_cap_month_nanos=spend_cap_month_nanos,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            rotated_from=rotated_from,
        )
        if rotated_from is None:
            notices.key_created(row)
            audit.record(
                "key.created", project.organization, str(row), id=row.pk, project=project.name
            )
        if created_by and announce:
            _tell(row, created_by.email)
    return NewKey(row, secret)


def _tell(key: ApiKey, by: str) -> None:
    keepers = Membership.objects.filter(
        organization_id=key.organization_id, role__in=[Role.OWNER, Role.ADMIN], user__is_active=True
    )
    for keeper in keepers.select_related("user").order_by("pk")[:_TOLD_MAX]:
        mail.tell(keeper.user, partial(letters.key_created, key, by))


def change(key: ApiKey, **changes: Any) -> bool:
    """Give a key that is open other limits (of `CHANGEABLE`); gateways learn of it at commit.
    False where it was closed meanwhile."""
    assert changes.keys() <= set(CHANGEABLE), changes
    with transaction.atomic():
        row = ApiKey.objects.select_for_update().get(pk=key.pk)
        if not row.is_live:
            key.refresh_from_db()
            return False
        differing = {n: value for n, value in changes.items() if getattr(row, n) != value}
        if differing:
            was = {name: getattr(row, name) for name in differing}
            ApiKey.objects.filter(pk=key.pk).update(**differing)
            key.refresh_from_db()
            audit.record(
                "key.changed", key.organization, str(key), id=key.pk, was=was, now=differing
            )
    return True


def rotate(key: ApiKey, overlap: timedelta, *, by: User | None = None) -> NewKey:
    """A new key with the same limits, and the old one closed after `overlap` (at once for zero).

    One that was to expire gets a successor with as long a life as it was given itself. Raises
    `NotRotatable`; of two at once, one.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise ValueError(overlap)
    with transaction.atomic():
        old = ApiKey.objects.select_for_update().get(pk=key.pk)
        if not old.is_live or ApiKey.objects.filter(rotated_from=old).exists():
            raise NotRotatable
        kept = {name: getattr(old, name) for name in CHANGEABLE}
        now = timezone.now()
        if old.expires_at is not None:
            kept["expires_at"] = now + (old.expires_at - old.created_at)
        is_test = old.prefix.startswith(TEST_PREFIX)
        new = create(old.project, created_by=by, test=is_test, rotated_from=old, **kept)
        key_rotated.send(ApiKey, old=old, new=new.row)
        ends_at = min(now + overlap, old.expires_at or now + overlap)
        closed = {"expires_at": ends_at} if overlap else {"revoked_at": now}
        ApiKey.objects.filter(pk=old.pk).update(**closed)
        old.refresh_from_db()
        notices.key_rotated(old, new.row)
        audit.record(
            "key.rotated",
            old.organization,
            str(old),
            id=old.pk,
            successor=str(new.row),
            successor_id=new.row.pk,
            old_ends_at=ends_at,
        )
    key.refresh_from_db()
    return new


def lineage(key: ApiKey) -> list[ApiKey]:
    """The key, what it replaced and what replaced it, the newest first; a bounded number."""
    found = ApiKey.objects.raw(_LINEAGE, [key.pk, _LINEAGE_MAX])
    return sorted(found, key=lambda one: one.pk, reverse=True)


def find(text: str) -> ApiKey:
    """By id, or by the secret itself (one that leaked). Raises ApiKey.DoesNotExist."""
    if is_well_formed(text):
        return ApiKey.objects.get(digest=digest(text))
    if text.isascii() and text.isdigit() and int(text) < 2**63:
        return ApiKey.objects.get(pk=int(text))
    raise ApiKey.DoesNotExist


def revoke(key: ApiKey) -> bool:
    """Close the key for good. False where it was closed already."""
    with transaction.atomic():
        live = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
        changed = live.update(revoked_at=timezone.now())
        key.refresh_from_db(fields=["revoked_at"])
        if changed:
            notices.keys_revoked([key])
            audit.record("key.revoked", key.organization, str(key), id=key.pk)
    return bool(changed)
