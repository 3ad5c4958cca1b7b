"""An operator sees an organization's pages as its owner does, for an hour at most.

The operator stays signed in as themselves: only the organization and the role of the pages are the
owner's. So the account pages show the operator's own account, and whatever is recorded names them.
"""

import time
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts import audit, current
from accounts.models import Membership, Organization, Role, User

SECONDS_MAX = 3600
_SESSION_KEY = "impersonation"


class NotAllowed(Exception):
    """This operator may not, or this organization may not be seen so; the text says why."""


@dataclass(frozen=True, slots=True)
class Impersonation:
    """What the session says, checked."""

    organization_id: int
    name: str
    owner: str
    may_change: bool


def begin(request: HttpRequest, organization: Organization) -> None:
    """Show the organization's pages from now on. Raises `NotAllowed`."""
    user = request.user
    if not (isinstance(user, User) and may(user)):
        raise NotAllowed(_("You may not open a customer's dashboard."))
    if _SESSION_KEY in request.session:
        raise NotAllowed(_("Leave the dashboard you have open first."))
    owner = owner_of(organization)
    if owner is None:
        raise NotAllowed(_("This organization has no owner."))
    staff = organization.memberships.filter(user__is_staff=True)
    if owner.user.is_staff or owner.user.is_superuser or staff.exists():
        raise NotAllowed(_("A member of this organization is an operator: it cannot be opened."))
    with transaction.atomic():
        audit.record(
            "impersonation.began", organization, owner.user.email, by=audit.actor(),
            may_change=user.is_superuser,
        )  # fmt: skip
        request.session[_SESSION_KEY] = {
            "organization": organization.pk,
            "operator": user.pk,
            "until": int(time.time()) + SECONDS_MAX,
        }


def end(request: HttpRequest, why: str = "left") -> Organization | None:
    """Back to one's own pages; the organization that was open."""
    facts = request.session.pop(_SESSION_KEY, None)
    if not isinstance(facts, dict):
        return None
    organization = Organization.objects.filter(pk=facts["organization"]).first()
    operator = User.objects.filter(pk=facts["operator"]).first()
    if organization is not None:
        address = str(request.META.get("REMOTE_ADDR") or "")
        who = audit.Actor(operator.pk, operator.email, address) if operator else audit.Actor()
        audit.record("impersonation.ended", organization, organization.name, by=who, why=why)
    return organization


def attach(request: HttpRequest) -> Impersonation | None:
    """What is open in this session; ended here where its time is up or its operator is none any
    more. From now on the request's membership is the owner's."""
    facts = request.session.get(_SESSION_KEY)
    if not isinstance(facts, dict):
        return None
    user = request.user
    is_mine = isinstance(user, User) and user.pk == facts["operator"] and may(user)
    organization = Organization.objects.filter(pk=facts["organization"]).first()
    owner = owner_of(organization) if organization else None
    if not is_mine or owner is None or facts["until"] < time.time() or owner.user.is_staff:
        end(request, why="expired" if is_mine else "no longer allowed")
        return None
    current.see_as(request, owner)
    found = Impersonation(
        owner.organization_id, owner.organization.name, owner.user.email, bool(user.is_superuser)
    )
    request.impersonation = found  # type: ignore[attr-defined]
    return found


def may(user: User) -> bool:
    return user.is_active and user.is_staff and user.has_perm("accounts.change_organization")


def owner_of(organization: Organization) -> Membership | None:
    owners = organization.memberships.filter(role=Role.OWNER, user__is_active=True)
    return owners.select_related("user", "organization").order_by("created_at", "pk").first()


@receiver(user_logged_out)
def _end_with_the_session(sender: Any, request: HttpRequest | None, **facts: Any) -> None:
    if request is not None and hasattr(request, "session"):
        end(request, why="signed out")
