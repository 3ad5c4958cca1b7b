"""Users made by an operator rather than by signing up."""

import secrets
from dataclasses import dataclass

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.models import User


@dataclass(frozen=True, slots=True)
class Invited:
    """A user, and the password where one was just made: it is shown this once."""

    user: User
    password: str | None


def find_or_create(
    email: str, *, password: str | None = None, is_operator: bool = False
) -> Invited:
    """The user with this address, made with a verified address and a random password if absent.

    An existing user is returned as is: neither password nor rights are touched.
    """
    existing = User.objects.filter(email__iexact=email).first()
    if existing:
        return Invited(existing, None)
    password = password or secrets.token_urlsafe(12)
    with transaction.atomic():
        make = User.objects.create_superuser if is_operator else User.objects.create_user
        user = make(email, password)
        verify(user)
    return Invited(user, password)


def verify(user: User) -> None:
    """Take the address as proven, so that sign-in asks for no confirmation mail."""
    EmailAddress.objects.update_or_create(
        user=user, email=user.email.lower(), defaults={"verified": True, "primary": True}
    )
