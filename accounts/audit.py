"""Who changed what: an append-only log, chained so that editing it shows.

A domain verb that changes something calls `record` inside its transaction, as its last step: from
there to the commit, the organization's other changes wait. Never put a secret into it.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEntry, AuditHead, Organization, User

# Every action there is, by the subject before its dot, with the words for it.
ACTIONS = {
    "organization.created": _("Created the organization"),
    "organization.renamed": _("Renamed the organization"),
    "organization.transferred": _("Handed the organization over"),
    "organization.suspended": _("Suspended the organization"),
    "organization.resumed": _("Resumed the organization"),
    "organization.deleted": _("Deleted the organization"),
    "organization.exported": _("Exported the organization’s data"),
    "organization.erased": _("Erased the organization’s data"),
    "member.joined": _("Joined"),
    "member.role_changed": _("Changed a role"),
    "member.removed": _("Removed a member"),
    "member.left": _("Left"),
    "invitation.sent": _("Invited"),
    "invitation.resent": _("Sent an invitation again"),
    "invitation.revoked": _("Revoked an invitation"),
    "project.created": _("Created a project"),
    "project.renamed": _("Renamed a project"),
    "project.budget_changed": _("Changed a project’s budget"),
    "project.archived": _("Archived a project"),
    "project.restored": _("Restored a project"),
    "key.created": _("Created a key"),
    "key.changed": _("Changed a key"),
    "key.rotated": _("Rotated a key"),
    "key.revoked": _("Revoked a key"),
    "webhook.added": _("Added a webhook endpoint"),
    "webhook.changed": _("Changed a webhook endpoint"),
    "webhook.rotated": _("Rotated a webhook secret"),
    "webhook.enabled": _("Switched a webhook endpoint on"),
    "webhook.disabled": _("Switched a webhook endpoint off"),
    "webhook.removed": _("Removed a webhook endpoint"),
    "plan.changed": _("Changed the plan"),
    "plan.scheduled": _("Chose another plan from the next month on"),
    "plan.kept": _("Kept the plan"),
    "top_up.started": _("Started a top-up"),
    "top_up.canceled": _("Canceled a top-up"),
    "top_up.refunded": _("Refunded a top-up"),
    "code.redeemed": _("Redeemed a code"),
    "card.removed": _("Removed a saved card"),
    "auto_top_up.set": _("Set automatic top-up"),
    "auto_top_up.stopped": _("Switched automatic top-up off"),
    "spend_cap.changed": _("Changed the monthly spend cap"),
    "spend_alert.added": _("Added a spend alert"),
    "spend_alert.removed": _("Removed a spend alert"),
    "billing_details.changed": _("Changed billing details"),
    "account.address_changed": _("Changed their email address"),
    "account.password_changed": _("Changed their password"),
    "account.second_factor_added": _("Added a second factor"),
    "account.second_factor_removed": _("Removed a second factor"),
    "account.recovery_codes_made": _("Made new recovery codes"),
    "account.exported": _("Exported a person’s data"),
    "account.deleted": _("Deleted their account"),
    "impersonation.began": _("Opened the dashboard as the owner"),
    "impersonation.ended": _("Left the owner’s dashboard"),
    "wallet.adjusted": _("Adjusted the balance"),
    "adjustment.requested": _("Asked for an adjustment"),
    "adjustment.approved": _("Approved an adjustment"),
    "adjustment.refused": _("Refused an adjustment"),
    "codes.created": _("Made redeem codes"),
    "payment.confirmed": _("Confirmed a payment"),
    "payment.retried": _("Tried a parked payment message again"),
    "payment.dismissed": _("Dealt with a parked payment message by hand"),
    "payment.given_up": _("Gave a parked payment up"),
    "credit_note.issued": _("Issued a credit note"),
    "price.canceled": _("Took a price back before it was in force"),
    "catalog.imported": _("Imported a catalog"),
    "data.exported": _("Downloaded a list"),
    "channel.tried": _("Tried a channel"),
    "bill.imported": _("Imported an upstream’s bill"),
    "bill.accepted": _("Accepted a bill’s drift"),
    "catalog.added": _("Added to the catalog"),
    "catalog.changed": _("Changed the catalog"),
    "catalog.deleted": _("Took out of the catalog"),
    "terms.added": _("Added terms"),
    "terms.changed": _("Changed terms"),
    "terms.deleted": _("Took terms away"),
    "operator.added": _("Added a record"),
    "operator.changed": _("Changed a record"),
    "operator.deleted": _("Deleted a record"),
}
_TARGET_CHARS = 200
_DETAIL_CHARS = 500


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from where; without a user, the operator at a command line."""

    user_id: int | None = None
    email: str = ""
    address: str = ""
    is_operator: bool = True


_request: ContextVar[HttpRequest | None] = ContextVar("audited_request", default=None)


@contextmanager
def during(request: HttpRequest) -> Iterator[None]:
    """What is recorded inside was done by whoever sent `request`."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def actor(user: User | None = None) -> Actor:
    """Who acts now: whoever sent the request being answered, or `user` where it is not known yet
    (somebody who just signs up)."""
    request = _request.get()
    if request is None:
        return Actor()
    address = str(request.META.get("REMOTE_ADDR") or "")
    match = request.resolver_match
    is_operator = match is not None and "admin" in match.app_names
    is_operator = is_operator or hasattr(request, "impersonation")
    if user is None and request.user.is_authenticated:
        user = request.user
    if user is None:
        return Actor(address=address, is_operator=is_operator)
    return Actor(user.pk, user.email, address, is_operator)


def record(
    action: str,
    organization: Organization | None,
    target: str = "",
    *,
    by: Actor | None = None,
    **details: Any,
) -> AuditEntry:
    """Append one entry to the organization's chain, with the caller's transaction or not at all.

    `action` is one of ACTIONS; `target` names what was changed, for people; `details` are facts as
    JSON takes them (amounts in nanos), no secrets among them.
    """
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is not one of the actions")
    who = by or actor()
    with transaction.atomic():
        head = _lock_head(organization.pk if organization else 0)
        entry = AuditEntry(
            organization=organization,
            sequence=head.sequence + 1,
            actor_id=who.user_id,
            actor_email=who.email.lower(),
            address=who.address[:45],
            is_operator=who.is_operator,
            action=action,
            target=target[:_TARGET_CHARS],
            details=_plain(details),
            created_at=timezone.now(),
            previous_hash=head.hash,
        )
        entry.hash = digest(entry)
        entry.save(force_insert=True)
        head.sequence, head.hash = entry.sequence, entry.hash
        head.seal = seal(head)
        head.save(update_fields=["sequence", "hash", "seal"])
    return entry


def _lock_head(chain: int) -> AuditHead:
    """The chain's end, locked until the transaction ends: one entry follows another."""
    AuditHead.objects.bulk_create([AuditHead(chain=chain)], ignore_conflicts=True)
    return AuditHead.objects.select_for_update().get(pk=chain)


def _plain(details: dict[str, Any]) -> Any:
    """As JSON gives it back, so that the hash is the same when it is read again."""
    clipped = {
        name: value[:_DETAIL_CHARS] if isinstance(value, str) else value
        for name, value in details.items()
    }
    return json.loads(json.dumps(clipped, default=str))


def digest(entry: AuditEntry) -> str:
    """HMAC-SHA256 over everything the entry says and the hash before it, in hex. It is keyed, so
    that whoever can only write to the database cannot make a chain that holds."""
    return _mac("audit", [*_facts(entry), entry.previous_hash])


def erasure_digest(entry: AuditEntry) -> str:
    """The same over what is left of an entry after an erasure. Its `hash` stays, and is a part of
    this: the chain is the one it was, and what is left cannot be edited either."""
    return _mac("audit-erasure", [*_facts(entry), entry.previous_hash, entry.hash])


def seal(head: AuditHead) -> str:
    """Over the end of a chain."""
    return _mac("audit-head", [head.chain, head.sequence, head.hash])


def _facts(entry: AuditEntry) -> list[Any]:
    return [
        entry.organization_id or 0,
        entry.sequence,
        entry.actor_id,
        entry.actor_email,
        entry.address,
        entry.is_operator,
        entry.action,
        entry.target,
        entry.details,
        entry.created_at.astimezone(UTC).isoformat(),
    ]


def _mac(purpose: str, facts: list[Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    message = f"{purpose}\n{text}".encode()
    return hmac.digest(settings.KEY_PEPPER.encode(), message, hashlib.sha256).hex()


@dataclass(slots=True)
class Verdict:
    """What reading every chain found."""

    chains: int
    entries: int
    troubles: list[str]

    @property
    def is_whole(self) -> bool:
        return not self.troubles


_TROUBLES_MAX = 20
_READ_AT_ONCE = 2_000


def verify() -> Verdict:
    """Read every chain from its start: edited, removed, inserted and reordered entries show.

    Entries written meanwhile are fine: each chain is held against the end it had at the start.
    """
    heads = {head.chain: head for head in AuditHead.objects.all()}
    verdict = Verdict(0, 0, [])
    chain, sequence, before = -1, 0, ""
    seen: set[int] = set()
    rows = AuditEntry.objects.order_by("organization_id", "sequence")
    for entry in rows.iterator(chunk_size=_READ_AT_ONCE):
        verdict.entries += 1
        if (entry.organization_id or 0) != chain:
            chain, sequence, before = entry.organization_id or 0, 0, ""
            verdict.chains += 1
        wrong = _wrong(entry, sequence + 1, before)
        if wrong:
            _note(verdict, f"chain {chain}, entry {entry.sequence}: {wrong}")
        head = heads.get(chain)
        if head and head.sequence == entry.sequence and head.hash == entry.hash:
            seen.add(chain)
        sequence, before = entry.sequence, entry.hash
    for head in heads.values():
        if head.sequence and head.chain not in seen:
            _note(verdict, f"chain {head.chain}: it does not end with entry {head.sequence}")
        elif not hmac.compare_digest(head.seal, seal(head)):
            _note(verdict, f"chain {head.chain}: its end was rewritten")
    for pk in _without_chain():
        _note(verdict, f"chain {pk}: it is gone")
    return verdict


def _without_chain() -> list[int]:
    """Organizations, and entries of none, whose chain has no end: each has had one since it was."""
    ends = AuditHead.objects.values("chain")
    rows = Organization.objects.exclude(pk__in=ends).order_by("pk")
    found = list(rows.values_list("pk", flat=True)[:_TROUBLES_MAX])
    free = AuditEntry.objects.filter(organization=None)
    if free.exists() and not AuditHead.objects.filter(chain=0).exists():
        found.insert(0, 0)
    return found


def _wrong(entry: AuditEntry, sequence: int, before: str) -> str:
    if entry.sequence != sequence:
        return f"entry {sequence} should stand here"
    if entry.previous_hash != before:
        return "it does not follow the one before it"
    kept, right = entry.hash, digest
    if entry.erasure_hash:
        kept, right = entry.erasure_hash, erasure_digest
    return "" if hmac.compare_digest(kept, right(entry)) else "it was edited"


def _note(verdict: Verdict, trouble: str) -> None:
    if len(verdict.troubles) < _TROUBLES_MAX:
        verdict.troubles.append(trouble)
