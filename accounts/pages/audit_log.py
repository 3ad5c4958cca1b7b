"""Settings: the audit log, newest first."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accounts import audit
from accounts.access import ADMIN_ROLES, MemberRequest, member_required, require
from accounts.models import AuditEntry, Role
from accounts.people_forms import AuditFilterForm

_PAGE = 50
SUBJECTS = {
    "key": _("Keys"),
    "member": _("Members"),
    "invitation": _("Invitations"),
    "project": _("Projects"),
    "webhook": _("Webhooks"),
    "plan": _("Plan"),
    "organization": _("Organization"),
}
_WORDS = {
    "before": _("before"),
    "after": _("after"),
    "role": _("role"),
    "project": _("project"),
    "keys": _("keys revoked"),
    "members": _("members removed"),
    "balance_nanos": _("balance"),
    "before_nanos": _("before"),
    "after_nanos": _("after"),
    "changed": _("changed"),
}
_ROLES: dict[str, Any] = dict(Role.choices)


@dataclass(frozen=True, slots=True)
class Fact:
    """One detail of an entry, as the page shows it."""

    word: str | Promise
    value: Any
    is_money: bool


@require_GET
@member_required
def audit_log(request: MemberRequest) -> HttpResponse:
    require(request.membership, ADMIN_ROLES)
    form = AuditFilterForm(request.GET, subjects=SUBJECTS.items())
    form.is_valid()
    rows = AuditEntry.objects.filter(organization=request.membership.organization_id)
    subject, who = form.cleaned_data.get("subject"), form.cleaned_data.get("who")
    if subject:
        actions = [name for name in audit.ACTIONS if name.startswith(f"{subject}.")]
        rows = rows.filter(action__in=actions)
    if who:
        rows = rows.filter(actor_email=who.strip().lower())
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        rows = rows.filter(sequence__lt=int(before))
    found = list(rows.order_by("-sequence")[: _PAGE + 1])
    context = {
        "form": form,
        "entries": [
            (entry, audit.ACTIONS.get(entry.action, entry.action), facts(entry))
            for entry in found[:_PAGE]
        ],
        "older": found[_PAGE - 1].sequence if len(found) > _PAGE else None,
        "is_first": not before,
        "is_filtered": bool(subject or who),
    }
    return render(request, "accounts/audit_log.html", context)


def facts(entry: AuditEntry) -> list[Fact]:
    """The details that have words, in their order; ids and the like are for machines."""
    shown = [(name, entry.details[name]) for name in _WORDS if name in entry.details]
    return [
        Fact(_WORDS[name], _ROLES.get(value, value) if isinstance(value, str) else value,
             name.endswith("_nanos"))
        for name, value in shown
    ]  # fmt: skip
