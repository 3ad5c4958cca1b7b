"""A person's account, taken away for good."""

from django.db import transaction

from accounts import audit, erasure, letters, mail, members, sessions
from accounts.models import Role, User


class StillNeeded(Exception):
    """The person operates the installation, or is the last owner of an organization."""


def delete(user: User) -> None:
    """Remove the person: profile, addresses, memberships, second factors, sessions. What they did
    stays without them: keys and payments lose their maker, the audit log has a pseudonym, the
    ledger never knew them.

    Raises `StillNeeded`, and then changes nothing.
    """
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        owned = locked.memberships.filter(role=Role.OWNER).select_related("organization")
        if locked.is_staff or any(map(members.is_last_owner, owned)):
            raise StillNeeded
        actor = audit.actor()
        if actor.user_id == locked.pk:  # themselves: the log keeps neither address
            actor = audit.Actor(locked.pk, is_operator=False)
        audit.record("account.deleted", None, f"user {locked.pk}", by=actor)
        erasure.forget_person(locked)
        mail.tell(locked, letters.account_deleted)
        sessions.end_all(locked)
        locked.delete()
