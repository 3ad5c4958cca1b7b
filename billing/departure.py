"""A person who leaves for good, and what becomes of the organizations they own."""

from dataclasses import dataclass

from django.db import transaction

from accounts import deletion, members, organizations
from accounts.models import Organization, Role, User
from billing import erasure


@dataclass(frozen=True, slots=True)
class Owned:
    """An organization whose only owner leaves. `balance_nanos` would be left behind."""

    organization: Organization
    members: int  # besides the owner
    keys: int
    balance_nanos: int

    @property
    def is_closed(self) -> bool:
        """Nobody else is in it, so it goes with its owner; otherwise it needs another."""
        return self.members == 0


def look(user: User) -> list[Owned]:
    """Every organization that would be without an owner, by name."""
    owned = user.memberships.filter(role=Role.OWNER).select_related("organization__wallet")
    return [
        Owned(
            one.organization,
            one.organization.memberships.exclude(user=user).count(),
            one.organization.api_keys.live().count(),
            one.organization.wallet.balance_nanos,
        )
        for one in owned.order_by("organization__name", "pk")
        if members.is_last_owner(one)
    ]


def depart(user: User) -> None:
    """Delete the account, and erase with it the organizations that nobody else is in: their keys
    are refused, their balance is left behind, their ledger stays. All of it or nothing; raises
    `deletion.StillNeeded` where an organization with other members needs an owner first, and
    User.DoesNotExist where the person is gone already."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # once, however often it was sent
        owns = user.memberships.filter(role=Role.OWNER).order_by("organization_id")
        for pk in owns.values_list("organization_id", flat=True):
            organizations.lock(pk)  # nobody joins or leaves meanwhile
        for owned in look(user):
            if owned.is_closed:
                erasure.erase(owned.organization, leaves_balance=True)
        deletion.delete(user)
