"""What the mails about an account say."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.devices import Device
from accounts.mail import Letter
from accounts.models import ApiKey

Facts = dict[str, Any]


def of_account(name: str, facts: Facts) -> Letter:
    """The letter that allauth calls `name`. Raises KeyError where there is none."""
    return _LETTERS[name.rpartition("/")[2]](facts)


def new_sign_in(device: Device) -> Letter:
    return Letter(
        subject=_("New sign-in to your account"),
        title=_("You signed in from somewhere new"),
        paragraphs=(_("If this was you, there is nothing to do."),),
        facts=_where(device),
        link=(_("See where you are signed in"), _address("sessions")),
        closing=_("If it was not you, change your password and sign out everywhere else at once."),
    )


def key_created(key: ApiKey, by: str) -> Letter:
    return Letter(
        subject=_("A new API key in %(name)s") % {"name": key.organization.name},
        about=key.organization.name,
        title=_("A new API key was created"),
        facts=(
            (_("Key"), f"{key.name} ({key.masked})"),
            (_("Project"), key.project.name),
            (_("Created by"), by),
            (_("Time"), _moment(key.created_at)),
        ),
        link=(_("See the keys"), _address("keys")),
        closing=_(
            "Owners and admins get this mail for every new key. If nobody should have made it, "
            "revoke it."
        ),
    )


def account_deleted() -> Letter:
    return Letter(
        subject=_("Your account is deleted"),
        title=_("Your account is deleted"),
        paragraphs=(
            _("Your profile, addresses, second factors and sessions are gone, and this is the "
              "last mail to this address."),
        ),
        closing=_("If it was not you, write to the operator at once."),
    )  # fmt: skip


def _confirm_address(facts: Facts) -> Letter:
    return Letter(
        subject=_("Confirm your email address"),
        title=_("Confirm your email address"),
        paragraphs=(
            _("%(email)s becomes the address of your ttonkapi account once you confirm it.")
            % {"email": facts["email"]},
        ),
        link=(_("Confirm the address"), facts["activate_url"]),
        closing=_("If you did not ask for this, ignore this mail: nothing happens."),
    )


def _reset_password(facts: Facts) -> Letter:
    return Letter(
        subject=_("Reset your password"),
        title=_("Choose a new password"),
        paragraphs=(_("Somebody asked for a new password for the account of this address."),),
        link=(_("Choose a new password"), facts["password_reset_url"]),
        closing=_("If it was not you, ignore this mail: your password stays as it is."),
    )


def _has_account(facts: Facts) -> Letter:
    return Letter(
        subject=_("You already have an account"),
        title=_("You already have an account"),
        paragraphs=(
            _("Somebody tried to sign up with %(email)s, which has an account already.")
            % {"email": facts["email"]},
        ),
        link=(_("Choose a new password"), facts["password_reset_url"]),
        closing=_("If you know your password, sign in. If it was not you, ignore this mail."),
    )


def _has_no_account(facts: Facts) -> Letter:
    return Letter(
        subject=_("No account has this address"),
        title=_("No account has this address"),
        paragraphs=(
            _("Somebody asked for a new password for %(email)s, but no account has this address. "
              "You may have signed up with another one.")
            % {"email": facts["email"]},
        ),
        link=(_("Sign up"), facts["signup_url"]),
        closing=_("If it was not you, ignore this mail."),
    )  # fmt: skip


def _changed(title: Callable[[Facts], str]) -> Callable[[Facts], Letter]:
    """Something about the account is different now: what, and from where it was done."""

    def write(facts: Facts) -> Letter:
        return Letter(
            subject=title(facts),
            title=title(facts),
            facts=_where(facts["device"]),
            link=(_("Look at your account"), _address("account")),
            closing=_("If it was not you, reset your password at once and end other sessions."),
        )

    return write


_LETTERS: dict[str, Callable[[Facts], Letter]] = {
    "email_confirmation": _confirm_address,
    "email_confirmation_signup": _confirm_address,
    "password_reset_key": _reset_password,
    "account_already_exists": _has_account,
    "unknown_account": _has_no_account,
    "email_changed": _changed(
        lambda facts: _("Your address is now %(email)s") % {"email": facts["to_email"]}
    ),
    "email_deleted": _changed(
        lambda facts: _("%(email)s was removed") % {"email": facts["deleted_email"]}
    ),
    "email_confirm": _changed(lambda _facts: _("Your address was confirmed")),
    "password_changed": _changed(lambda _facts: _("Your password was changed")),
    "password_set": _changed(lambda _facts: _("A password was set")),
    "password_reset": _changed(lambda _facts: _("Your password was reset")),
    "totp_activated": _changed(lambda _facts: _("An authenticator app was added")),
    "totp_deactivated": _changed(lambda _facts: _("The authenticator app was removed")),
    "webauthn_added": _changed(lambda _facts: _("A passkey was added")),
    "webauthn_removed": _changed(lambda _facts: _("A passkey was removed")),
    "recovery_codes_generated": _changed(lambda _facts: _("New recovery codes were made")),
}


def _where(device: Device) -> tuple[tuple[str, str], ...]:
    return (
        (_("Time"), _moment(device.seen_at)),
        (_("Browser"), device.browser or _("Unknown")),
        (_("Address"), device.address),
    )


def _moment(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _address(name: str) -> str:
    return f"{settings.BASE_URL.rstrip('/')}{reverse(name)}"
