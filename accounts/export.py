"""Everything kept about a person, as one JSON document that is never in memory as a whole.

Secrets are left out: they would only be of use to somebody else.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts.models import ApiKey, AuditEntry, Membership, SeenDevice, User

# Of each list; `cut_short` names those that have more.
ROWS_MAX = 10_000
_ROWS_AT_ONCE = 500
_CHUNK_CHARACTERS = 32_768
Facts = dict[str, Any]
# Its name, its rows, and what is said of each.
List = tuple[str, QuerySet[Any], Callable[[Any], Facts]]


def respond(user: User) -> StreamingHttpResponse:
    """The document as a download."""
    response = StreamingHttpResponse(_stream(user), content_type="application/json")
    name = f"ttonkapi-account-{timezone.now():%Y-%m-%d}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    return response


async def _stream(user: User) -> AsyncIterator[bytes]:
    """Read in a thread, a chunk at a time, as fast as the client takes them."""
    pieces = write(user)
    while chunk := await sync_to_async(_take)(pieces):
        yield chunk


def _take(pieces: Iterator[str]) -> bytes:
    """The next pieces as one chunk; nothing after the last."""
    taken, characters = [], 0
    for piece in pieces:
        taken.append(piece)
        characters += len(piece)
        if characters >= _CHUNK_CHARACTERS:
            break
    return "".join(taken).encode()


def write(user: User) -> Iterator[str]:
    """The document, piece by piece."""
    yield from pieces({"profile": _profile(user)}, _lists(user))


def pieces(facts: Facts, lists: Iterable[List]) -> Iterator[str]:
    """A document of `facts`, and of lists that are read while it is written."""
    yield f'{{"exported_at": {to_json(timezone.now())}'
    for name, value in facts.items():
        yield f',\n"{name}": {to_json(value)}'
    cut_short = []
    for name, rows, describe in lists:
        yield f',\n"{name}": ['
        found = rows[: ROWS_MAX + 1].iterator(chunk_size=_ROWS_AT_ONCE)
        for count, row in enumerate(found):
            if count == ROWS_MAX:
                cut_short.append(name)
                break
            yield (",\n" if count else "\n") + to_json(describe(row))
        yield "]"
    yield f',\n"cut_short": {to_json(cut_short)}}}\n'


def _lists(user: User) -> list[List]:
    """What is kept in rows, newest first."""
    memberships = Membership.objects.filter(user=user).select_related("organization")
    mine = list(memberships.values_list("organization_id", flat=True)[:ROWS_MAX])
    keys = ApiKey.objects.filter(created_by=user, organization_id__in=mine)
    entries = AuditEntry.objects.filter(organization_id__in=mine, actor_id=user.pk)
    entries = entries.select_related("organization")
    return [
        ("addresses", EmailAddress.objects.filter(user=user).order_by("-pk"), _address),
        ("organizations", memberships.order_by("-pk"), _membership),
        ("second_factors", Authenticator.objects.filter(user=user).order_by("-pk"), _factor),
        ("sessions", UserSession.objects.filter(user=user).order_by("-pk"), _session),
        ("signed_in_from", SeenDevice.objects.filter(user=user).order_by("-pk"), _device),
        ("keys_created", keys.select_related("organization").order_by("-pk"), _key),
        ("changes_made", entries.order_by("organization_id", "-sequence"), _entry),
    ]


def _profile(user: User) -> Facts:
    return {
        "id": user.pk,
        "email": user.email,
        "name": user.name,
        "language": user.language,
        "joined_at": user.date_joined,
        "last_signed_in_at": user.last_login,
    }


def _address(row: EmailAddress) -> Facts:
    return {"email": row.email, "is_confirmed": row.verified, "is_primary": row.primary}


def _membership(row: Membership) -> Facts:
    organization = row.organization
    return {
        "name": organization.name,
        "slug": organization.slug,
        "role": row.role,
        "since": row.created_at,
    }


def _factor(row: Authenticator) -> Facts:
    name = row.data.get("name", "") if row.type == Authenticator.Type.WEBAUTHN else ""
    return {
        "kind": row.type,
        "name": name,
        "added_at": row.created_at,
        "last_used_at": row.last_used_at,
    }


def _session(row: UserSession) -> Facts:
    return {"began_at": row.created_at, "address": row.ip, "user_agent": row.user_agent}


def _device(row: SeenDevice) -> Facts:
    return {"browser": row.browser, "network": row.network, "last_at": row.seen_at}


def _key(row: ApiKey) -> Facts:
    return {
        "organization": row.organization.slug,
        "name": row.name,
        "key": row.masked,
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
    }


def _entry(row: AuditEntry) -> Facts:
    return {
        "at": row.created_at,
        "organization": row.organization.slug if row.organization else None,
        "action": row.action,
        "target": row.target,
        "address": row.address,
    }


def to_json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
