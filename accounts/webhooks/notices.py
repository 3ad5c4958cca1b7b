"""What webhooks are told about keys and members. Called by the verbs that do it, within their
transaction."""

from collections.abc import Iterable
from typing import Any

from accounts.models import ApiKey, Membership
from accounts.webhooks import events
from accounts.webhooks.events import moment


def key_created(key: ApiKey) -> None:
    events.emit(key.organization, "key.created", {"key": _key(key)})


def key_rotated(old: ApiKey, new: ApiKey) -> None:
    """`old` as it is now: with its end."""
    events.emit(old.organization, "key.rotated", {"key": _key(new), "replaces": _key(old)})


def keys_revoked(keys: Iterable[ApiKey]) -> None:
    for key in keys:
        events.emit(key.organization, "key.revoked", {"key": _key(key)})


def member_joined(member: Membership) -> None:
    data = {"member": {"email": member.user.email, "role": str(member.role)}}
    events.emit(member.organization, "member.joined", data)


def _key(key: ApiKey) -> dict[str, Any]:
    """Names and times; the secret is nowhere."""
    return {
        "id": key.pk,
        "name": key.name,
        "masked": key.masked,
        "project": key.project.name,
        "created_by": key.created_by.email if key.created_by else None,
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
    }
