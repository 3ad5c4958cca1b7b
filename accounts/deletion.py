"""A person's account, taken away for good."""

from django.db import transaction

from accounts import audit, letters, mail, members, sessions
from accounts.models import Role, User


class StillNeeded(Exception):
    """The person operates the installation, or is the last owner of an organization."""


def delete(user: User) -> None:
    """Remove the person: profile, addresses, memberships, second factors, sessions. What they did
    stays without them: keys and payments lose their maker, the ledger never knew them.

    Raises `StillNeeded`, and then changes nothing. The audit log keeps the addresses of those who
    acted, as its readers are told.
    """
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        owned = locked.memberships.filter(role=Role.OWNER).select_related("organization")
        if locked.is_staff or any(map(members.is_last_owner, owned)):
            raise StillNeeded
        gone = audit.Actor(locked.pk, address=audit.actor().address, is_operator=False)
        audit.record("account.deleted", None, f"user {locked.pk}", by=gone)
        mail.tell(locked, letters.account_deleted)
        sessions.end_all(locked)
        locked.delete()
