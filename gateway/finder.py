"""One search over everything an operator is told about: names, addresses, keys, ids, numbers.

What the text looks like decides where it is looked for, so that an index answers; only names are
looked for in part. Nothing is found that the operator may not see.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Model as Row
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils.text import capfirst

from accounts import keys
from accounts.models import ApiKey, Invitation, Membership, Organization, User
from billing.models import (
    CreditNote,
    Dispute,
    Invoice,
    PaymentEvent,
    PaymentOrder,
    Transfer,
    UsageRecord,
)
from billing.pages.requests import parse_id
from providers.models import Model

EACH_MAX = 20
TEXT_MAX = 200
_KEY = re.compile(r"(ttonk_sk_\w*)(?:…|\.\.\.)?(\w{4})?")
_NOTE = re.compile(r"([A-Z0-9]{1,8})-C-([0-9]{1,9})", re.IGNORECASE)
_ORDER = re.compile(r"TT-[A-Z0-9]{4}-[A-Z0-9]{4}", re.IGNORECASE)
_LAST_FOUR = re.compile(r"\w{4}")


@dataclass(frozen=True, slots=True)
class Found:
    kind: str
    words: str
    detail: str
    url: str


def find(user: User, text: str) -> list[Found]:
    """What `user` may see of what `text` names, at most `EACH_MAX` of a kind."""
    text = text.strip()[:TEXT_MAX]
    found: dict[Any, Found] = {}
    if not text:
        return []
    for look in _LOOKS:
        for row, detail in look(text):
            app, name = row._meta.app_label, row._meta.model_name
            if user.has_perm(f"{app}.view_{name}") or user.has_perm(f"{app}.change_{name}"):
                one = _found(row, detail)
                # A request and its transfer have one id: the request is what was meant.
                found.setdefault(row.pk if isinstance(row.pk, UUID) else one.url, one)
    return list(found.values())


def _found(row: Row, detail: str) -> Found:
    meta = row._meta
    words = f"req_{row.pk.hex}" if isinstance(row, UsageRecord) else str(row)
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return Found(str(capfirst(meta.verbose_name)), words, detail, url)


Looked = Iterator[tuple[Row, str]]


def _requests(text: str) -> Looked:
    wanted = parse_id(text)
    if wanted is None:
        return
    for row in UsageRecord.objects.filter(pk=wanted):
        yield row, f"{row.model}, {row.status}"
    for transfer in Transfer.objects.filter(pk=wanted):
        yield transfer, transfer.reason


def _people(text: str) -> Looked:
    if "@" not in text:
        return
    for user in User.objects.alias(low=Lower("email")).filter(low=text.lower())[:EACH_MAX]:
        yield user, user.name
        theirs = Membership.objects.filter(user=user).select_related("organization")
        for one in theirs[:EACH_MAX]:
            yield one.organization, str(one.get_role_display())
    for invited in Invitation.objects.filter(email=text).select_related("organization")[:EACH_MAX]:
        yield invited, str(invited.organization)


def _keys(text: str) -> Looked:
    rows = ApiKey.objects.select_related("organization")
    shaped = _KEY.fullmatch(text)
    if keys.is_well_formed(text):
        rows = rows.filter(digest=keys.digest(text))
    elif shaped:
        rows = rows.filter(prefix=shaped[1], **({"last_four": shaped[2]} if shaped[2] else {}))
    elif _LAST_FOUR.fullmatch(text):
        rows = rows.filter(last_four=text)
    else:
        return
    for row in rows[:EACH_MAX]:
        yield row, str(row.organization)


def _documents(text: str) -> Looked:
    for invoice in Invoice.objects.named(text).select_related("organization")[:EACH_MAX]:
        yield invoice, str(invoice.organization)
    note = _NOTE.fullmatch(text)
    if note:
        notes = CreditNote.objects.select_related("invoice__organization")
        for row in notes.filter(issuer__code__iexact=note[1], number=int(note[2]))[:EACH_MAX]:
            yield row, str(row.invoice.organization)


def _payments(text: str) -> Looked:
    if _ORDER.fullmatch(text):
        orders = PaymentOrder.objects.filter(reference=text.upper())
    elif "_" in text:  # a provider's own ids, such as pi_…, evt_… and dp_…
        orders = PaymentOrder.objects.filter(_of_a_provider("provider_id", text))
        for event in PaymentEvent.objects.filter(_of_a_provider("event_id", text)):
            yield event, event.note
        for dispute in Dispute.objects.filter(_of_a_provider("provider_id", text)):
            yield dispute, str(dispute.get_state_display())
    else:
        return
    for order in orders.select_related("organization"):
        yield order, str(order.organization)


def _of_a_provider(column: str, text: str) -> Q:
    """Their indexes begin with the provider's name."""
    names = [*settings.PAYMENT_GATEWAYS, "stripe", "bank"]
    return Q(provider__in=names, **{column: text})


def _organizations(text: str) -> Looked:
    exact = Q(slug=text.lower()) | (Q(pk=int(text)) if _is_number(text) else Q(pk__in=[]))
    rows: QuerySet[Organization] = Organization.objects.filter(exact)
    for row in [*rows[:EACH_MAX], *Organization.objects.filter(name__icontains=text)[:EACH_MAX]]:
        yield row, row.slug


def _models(text: str) -> Looked:
    for row in Model.objects.filter(Q(name=text) | Q(aliases__contains=[text]))[:EACH_MAX]:
        yield row, row.owned_by


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 18


_LOOKS: tuple[Callable[[str], Any], ...] = (
    _requests, _people, _keys, _documents, _payments, _models, _organizations,
)  # fmt: skip
