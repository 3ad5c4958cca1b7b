"""Users: made by an operator rather than by signing up, and spoken to in their language."""

import secrets
from dataclasses import dataclass

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language

from accounts import audit
from accounts.models import User

_YEAR_SECONDS = 365 * 24 * 3600


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


def drop_second_factor(user: User) -> bool:
    """The operator's way in for somebody who has lost their phone and their recovery codes: from
    now on the password alone signs in. False where there was nothing to drop."""
    with transaction.atomic():
        dropped, _rows = Authenticator.objects.filter(user=user).delete()
        if dropped:
            audit.record("account.second_factor_removed", None, user.email)
    return bool(dropped)


def choose_language(user: User, code: str) -> bool:
    """Speak `code` to the person from now on, in mails too. False where nobody speaks it."""
    if code not in dict(settings.LANGUAGES):
        return False
    user.language = code
    user.save(update_fields=["language"])
    return True


def keep_language(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """At a sign-in: a browser without a choice gets the person's, a person without one the
    browser's."""
    if not user.language:
        choose_language(user, get_language() or settings.LANGUAGE_CODE)
    elif settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
        remember_language(request, response, user.language)


def remember_language(request: HttpRequest, response: HttpResponse, code: str) -> None:
    """In the browser, for a year."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=_YEAR_SECONDS,
        samesite="Lax",
        secure=request.is_secure(),
    )
