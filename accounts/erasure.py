"""Taking somebody out of what has to stay.

Entries of the audit log keep what was done and when, and lose who it was and from where: a
person's address becomes a pseudonym. Each is sealed anew (`audit.erasure_digest`), so the log is
still proven whole, and an entry that anybody else changes still shows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.admin.models import LogEntry
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts import audit
from accounts.models import ApiKey, AuditEntry, Invitation, Organization, OutgoingMail, User
from accounts.webhooks.models import WebhookEvent

_ROWS_AT_ONCE = 500
_TARGET_CHARS = 200
_CHANGED = ("actor_email", "address", "target", "details", "erasure_hash")
# A shorter name would be found inside of everything.
_NAME_CHARS_MIN = 3


def pseudonym(user_id: int | None) -> str:
    return "" if user_id is None else f"user-{user_id}"


@dataclass(frozen=True, slots=True)
class Words:
    """Texts that say who somebody is, and what stands in their place."""

    texts: tuple[str, ...]
    instead: str

    def hide(self, text: str) -> str:
        for one in self.texts:
            text = re.sub(
                rf"(?<!\w){re.escape(one)}(?!\w)", self.instead, text, flags=re.IGNORECASE
            )
        return text

    def hide_in(self, value: Any) -> Any:
        """In all texts of a JSON value."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.hide_in(one) for one in value]
        if isinstance(value, dict):
            return {self.hide(name): self.hide_in(one) for name, one in value.items()}
        return value


def words_of(user: User) -> Words:
    """A person's addresses, the longest first, and their name."""
    addresses = {
        user.email,
        *EmailAddress.objects.filter(user=user).values_list("email", flat=True),
    }
    texts = sorted(addresses, key=len, reverse=True)
    name = user.name.strip()
    if len(name) >= _NAME_CHARS_MIN:
        texts.append(name)
    return Words(tuple(texts), pseudonym(user.pk))


def forget_person(user: User) -> None:
    """Take a person out of everything that outlives their account, within the caller's
    transaction, before the account is deleted."""
    words = words_of(user)
    named = Q(actor_id=user.pk) | Q(actor_email__in=[text.lower() for text in words.texts])
    _rewrite(_with_text().filter(named | _mentions(words)), user.pk, words)
    _forget_in_operators_log(words)
    keys = ApiKey.objects.filter(created_by=user)
    for key in keys.filter(_contains("name", words)):
        ApiKey.objects.filter(pk=key.pk).update(name=words.hide(key.name)[:100])
    Invitation.objects.filter(email__in=[text.lower() for text in words.texts]).delete()
    OutgoingMail.objects.filter(recipient__in=words.texts).delete()
    # A month's worth at most, and never edited: what names the person goes, sent or not.
    WebhookEvent.objects.filter(_contains("body", words)).delete()


def forget_organization(organization: Organization, words: Words) -> None:
    """Take everything that customers wrote, and who they were, out of the organization's audit
    log, and `words` out of all others. What operators did keeps their names."""
    mine = AuditEntry.objects.filter(organization=organization)
    for entries in _batches(mine):
        for entry in entries:
            if not entry.is_operator:
                entry.actor_email, entry.address = pseudonym(entry.actor_id), ""
            entry.target, entry.details = "", _without_texts(entry.details)
        _keep(entries)
    others = _with_text().filter(_mentions(words)).exclude(pk__in=mine.values("pk"))
    _rewrite(others, None, words)
    _forget_in_operators_log(words)


def _rewrite(rows: QuerySet[AuditEntry], user_id: int | None, words: Words) -> None:
    for entries in _batches(rows):
        _keep([entry for entry in entries if _hide(entry, user_id, words)])


def _hide(entry: AuditEntry, user_id: int | None, words: Words) -> bool:
    """Whether there was anything to hide."""
    before = (entry.actor_email, entry.address, entry.target, entry.details)
    if user_id is not None and entry.actor_id == user_id:
        entry.actor_email, entry.address = pseudonym(user_id), ""
    entry.actor_email = words.hide(entry.actor_email)
    entry.target = words.hide(entry.target)[:_TARGET_CHARS]
    entry.details = words.hide_in(entry.details)
    return (entry.actor_email, entry.address, entry.target, entry.details) != before


def _with_text() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.annotate(text=Cast("details", TextField()))


def _batches(rows: QuerySet[AuditEntry]) -> Iterable[list[AuditEntry]]:
    last = 0
    while found := list(rows.filter(pk__gt=last).order_by("pk")[:_ROWS_AT_ONCE]):
        yield found
        last = found[-1].pk


def _keep(entries: list[AuditEntry]) -> None:
    for entry in entries:
        entry.erasure_hash = audit.erasure_digest(entry)
    AuditEntry.objects.bulk_update(entries, _CHANGED)


def _without_texts(value: Any) -> Any:
    """Numbers and truths say nothing of a person; texts and their like may."""
    if isinstance(value, dict):
        return {name: _without_texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_texts(one) for one in value]
    return "" if isinstance(value, str) else value


def _forget_in_operators_log(words: Words) -> None:
    """Django's own log of the admin keeps what a thing was called."""
    for entry in LogEntry.objects.filter(
        _contains("object_repr", words) | _contains("change_message", words)
    ).iterator():
        LogEntry.objects.filter(pk=entry.pk).update(
            object_repr=words.hide(entry.object_repr)[:_TARGET_CHARS],
            change_message=words.hide(entry.change_message),
        )


def _mentions(words: Words) -> Q:
    return _contains("target", words) | _contains("text", words)


def _contains(field: str, words: Words) -> Q:
    found = Q(pk=None)
    for text in words.texts:
        found |= Q(**{f"{field}__icontains": text})
    return found
