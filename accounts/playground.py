"""The playground's key: what a member's browser calls /v1 with, and never a key to keep.

It opens for fifteen minutes and is renewed while the playground is in use. The secret is derived
from a nonce in the member's session, so it is stored nowhere, all tabs of one session are given
the same one (a tab that opens cuts no other's stream), and another session is given another.
Each member has one row per project, whose digest changes: an old secret is unknown from then on.
"""

import secrets
from datetime import datetime, timedelta

from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from accounts import audit, keys
from accounts.models import ApiKey, Membership, Project, User

NAME = "Playground"
OPEN_FOR = timedelta(minutes=15)
# Renewed for so long at most; then the same session is given another secret.
RENEWED_FOR = timedelta(hours=12)
_NONCE = "playground_nonce"


def open_key(project: Project, user: User, session: SessionBase) -> keys.NewKey:
    """The member's key in `project`, open from now on for `OPEN_FOR`."""
    nonce = session.setdefault(_NONCE, secrets.token_hex(16))
    now = timezone.now()
    with transaction.atomic():
        row, _ = ApiKey.objects.select_for_update().get_or_create(
            is_playground=True,
            created_by=user,
            project=project,
            defaults={
                "organization_id": project.organization_id,
                "name": NAME,
                "digest": keys.digest(keys.generate()),  # a secret nobody knows
                "revoked_at": now,
            },
        )
        secret = keys.derive(f"{nonce}:{row.pk}:{row.created_at.timestamp()}")
        is_renewed = _may_renew(row, keys.digest(secret), now)
        if not is_renewed:
            row.created_at = now
            secret = keys.derive(f"{nonce}:{row.pk}:{now.timestamp()}")
        row.digest = keys.digest(secret)
        row.prefix, row.last_four = keys.shown_of(secret).values()
        row.expires_at, row.revoked_at = now + OPEN_FOR, None
        row.save()
        if not is_renewed:
            organization, name = project.organization, project.name
            audit.record("key.created", organization, str(row), id=row.pk, project=name)
    return keys.NewKey(row, secret)


def _may_renew(row: ApiKey, digest: str, now: datetime) -> bool:
    return row.is_live and row.digest == digest and now - row.created_at < RENEWED_FOR


def close(user_id: int, **where: int) -> int:
    """Close the member's open playground keys, all or those `where`; returns how many. What they
    stream is cut."""
    mine = ApiKey.objects.filter(is_playground=True, created_by_id=user_id, **where).live()
    return mine.update(revoked_at=timezone.now())


@receiver(user_logged_out)
def _close_with_the_session(user: User | None, **_: object) -> None:
    if user is not None:
        close(user.pk)


@receiver(post_delete, sender=Membership)
@receiver(post_save, sender=Membership)
def _close_with_the_role(instance: Membership, created: bool | None = None, **_: object) -> None:
    """Who is no member any more, or may not send requests any more, has no open key left."""
    is_gone = created is None  # nothing says so of a row that was deleted
    if is_gone or not (created or instance.may_manage_keys):
        close(instance.user_id, organization_id=instance.organization_id)
