"""A person who leaves for good, and what becomes of the organizations they own."""

from dataclasses import dataclass

from django.db import transaction

from accounts import deletion, organizations
from accounts.models import Organization, Role, User


@dataclass(frozen=True, slots=True)
class Owned:
    """An organization whose only owner leaves."""

    organization: Organization
    members: int  # besides the owner
    keys: int
    balance_nanos: int

    @property
    def is_closed(self) -> bool:
        """Nobody else is in it and nothing is left in it, so it goes with its owner."""
        return self.members == 0 and self.keys == 0 and self.balance_nanos <= 0


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
        if deletion.is_last_owner(one)
    ]


def depart(user: User) -> None:
    """Delete the account, and close the organizations that nobody else is in and nothing is left
    in: they are suspended for good, their ledger stays. All of it or nothing; raises
    `deletion.StillNeeded` where one with other members, live keys or a balance would be left
    without an owner, and User.DoesNotExist where the person is gone already."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # once, however often it was sent
        owned_by = Organization.objects.filter(memberships__user=user, memberships__role=Role.OWNER)
        list(owned_by.select_for_update(of=("self",)).order_by("pk"))  # nobody else leaves now
        for owned in look(user):
            if not owned.is_closed:
                raise deletion.StillNeeded
            organizations.suspend(owned.organization)
        deletion.delete(user)
