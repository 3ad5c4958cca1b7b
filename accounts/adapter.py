"""Signing up and in by email: allauth's adapters, with what this product adds."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, devices, letters, mail, sessions, users
from accounts.models import User

# What allauth tells its owner by mail, as the audit log calls it.
_RECORDED = {
    "email_changed": "account.address_changed",
    "password_changed": "account.password_changed",
    "password_set": "account.password_changed",
    "password_reset": "account.password_changed",
    "totp_activated": "account.second_factor_added",
    "webauthn_added": "account.second_factor_added",
    "totp_deactivated": "account.second_factor_removed",
    "webauthn_removed": "account.second_factor_removed",
    "recovery_codes_generated": "account.recovery_codes_made",
}


# allauth's words that people meet most, here because we translate them in our own voice.
_ERRORS = {
    "email_password_mismatch": _("The email address or the password is not right."),
    "incorrect_code": _("Incorrect code."),
    "incorrect_password": _("Incorrect password."),
    "too_many_login_attempts": _("Too many failed attempts. Try again later."),
    "rate_limited": _("Too many attempts. Try again later."),
    "same_as_current": _("This is what it is already."),
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Email sign-in. A new person's first page is the one that gets them to a request."""

    error_messages = DefaultAccountAdapter.error_messages | _ERRORS

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("welcome")

    def get_email_verification_redirect_url(self, email_address: Any) -> str:
        """Who changes the address of an account sees it changed."""
        is_in = self.request.user.is_authenticated
        return reverse("account_email" if is_in else "account_login")

    def post_login(
        self, request: HttpRequest, user: User, *, signup: bool, **how: Any
    ) -> HttpResponse:
        """A sign-in has succeeded, second factor and all."""
        response: HttpResponse = super().post_login(request, user, signup=signup, **how)
        users.keep_language(request, response, user)
        sessions.end_oldest(user)
        device = devices.of(request)
        if devices.note(user, device) and not signup:
            mail.tell(user, lambda: letters.new_sign_in(device))
        return response

    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Something that protects the account was changed: recorded, and mailed to its owner."""
        facts = {"user": user, **(context or {})}
        with transaction.atomic():
            action = _RECORDED.get(template_prefix.rpartition("/")[2])
            if action:
                audit.record(action, None, user.email, by=audit.actor(user))
            super().send_notification_mail(template_prefix, user, facts, email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Kept as a row in the reader's language; a worker sends it."""
        user = context.get("user")
        language = user.language if isinstance(user, User) else ""
        facts = {"email": email, "device": devices.of(self.request), **context}
        mail.queue(email, language, lambda: letters.of_account(template_prefix, facts))


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors, whose secrets are encrypted at rest under `ENCRYPTION_KEYS`."""

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _fernet().decrypt(encrypted_text.encode()).decode()

    def generate_authenticator_name(self, user: User, type: Any) -> str:
        """Where the passkey was made, unless its owner says something better."""
        return devices.of(self.request).browser or gettext("Passkey")


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
