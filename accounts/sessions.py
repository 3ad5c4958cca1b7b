"""Where somebody is signed in: seen, and ended, one by one or all but this."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone

from accounts import devices
from accounts.models import User

log = logging.getLogger(__name__)

# Of one person: a further sign-in ends the oldest.
SESSIONS_MAX = 20


@dataclass(frozen=True, slots=True)
class Session:
    pk: int
    browser: str
    address: str
    began_at: datetime
    seen_at: datetime
    is_current: bool


def listed(request: HttpRequest, user: User) -> list[Session]:
    """The person's sessions that still open the door; this one first, then the last seen."""
    rows = UserSession.objects.purge_and_list(user)
    seen = _last_seen(rows)
    current = request.session.session_key
    found = [
        Session(
            row.pk,
            devices.browser(row.user_agent),
            row.ip,
            row.created_at,
            seen[row.session_key],
            row.session_key == current,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.is_current, one.seen_at), reverse=True)


def end(user: User, pk: int) -> bool:
    """False where the person has no such session (any more)."""
    return _end(UserSession.objects.filter(user=user, pk=pk)) == 1


def end_others(request: HttpRequest, user: User) -> int:
    """Every session of the person but this; returns how many there were."""
    mine = UserSession.objects.filter(user=user)
    return _end(mine.exclude(session_key=request.session.session_key))


def end_all(user: User) -> int:
    return _end(UserSession.objects.filter(user=user))


def end_oldest(user: User) -> int:
    """Those beyond `SESSIONS_MAX`."""
    return _end(UserSession.objects.filter(user=user).order_by("-created_at", "-pk")[SESSIONS_MAX:])


def note_activity(request: HttpRequest) -> None:
    """Remember that the session was just used. Without Redis it is forgotten: no page waits
    for that."""
    session = request.session
    if session.accessed and session.get(SESSION_KEY) and session.session_key:
        try:
            cache.set(_seen(session.session_key), timezone.now(), settings.SESSION_COOKIE_AGE)
        except Exception as error:  # what is raised is the cache's own
            log.warning("a session's last use was not noted: %s", error)


def _seen(session_key: str) -> str:
    return f"session-seen:{session_key}"


def _last_seen(rows: list[UserSession]) -> dict[str, datetime]:
    try:
        found = cache.get_many([_seen(row.session_key) for row in rows])
    except Exception as error:
        log.warning("sessions' last uses were not read: %s", error)
        found = {}
    return {row.session_key: found.get(_seen(row.session_key), row.last_seen_at) for row in rows}


def _end(rows: Iterable[UserSession]) -> int:
    ended = 0
    for row in rows:
        row.end()
        ended += 1
    return ended
