"""Forms of a person's own account."""

from typing import Any, ClassVar

from allauth.account.forms import (
    AddEmailForm,
    ChangePasswordForm,
    LoginForm,
    ReauthenticateForm,
    ResetPasswordForm,
    ResetPasswordKeyForm,
    SetPasswordForm,
    SignupForm,
)
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from cryptography.exceptions import InvalidSignature
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class ProfileForm(forms.Form):
    """Who one is to the others in an organization, and in which language one is spoken to."""

    name = forms.CharField(
        label=_("Name"),
        max_length=150,
        required=False,
        help_text=_("How the members of your organizations see you."),
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    language = forms.ChoiceField(
        label=_("Language"), choices=settings.LANGUAGES, help_text=_("Of pages and mails.")
    )


# What a credential made up by hand raises, below allauth's own checks.
_MALFORMED = (AttributeError, InvalidSignature, KeyError, TypeError, ValueError)


class _Plain:
    """Without the placeholders that say the label again, and labels as sentences."""

    fields: dict[str, forms.Field]
    labels: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        for name, label in self.labels.items():
            if name in self.fields:
                self.fields[name].label = label


class _NewPassword(_Plain):
    labels: ClassVar[dict[str, Any]] = {
        "oldpassword": _("Current password"),
        "password1": _("New password"),
        "password2": _("New password, again"),
    }


class SignInForm(_Plain, LoginForm):  # type: ignore[misc]
    pass


class SignUpForm(_Plain, SignupForm):  # type: ignore[misc]
    pass


class AddressForm(_Plain, AddEmailForm):  # type: ignore[misc]
    pass


class ForgottenForm(_Plain, ResetPasswordForm):  # type: ignore[misc]
    pass


class ConfirmationForm(_Plain, ReauthenticateForm):  # type: ignore[misc]
    pass


class PasswordForm(_NewPassword, ChangePasswordForm):  # type: ignore[misc]
    pass


class FirstPasswordForm(_NewPassword, SetPasswordForm):  # type: ignore[misc]
    pass


class ForgottenPasswordForm(_NewPassword, ResetPasswordKeyForm):  # type: ignore[misc]
    pass


class PasskeyForm(AddWebAuthnForm):  # type: ignore[misc]
    """A passkey always signs in alone: it verifies its owner by itself."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        required=False,
        help_text=_("Which device or password manager holds it."),
    )
    passwordless = forms.BooleanField(initial=True, widget=forms.HiddenInput)

    def clean(self) -> Any:
        try:
            return super().clean()
        except _MALFORMED:
            raise ValidationError(_("The browser’s answer makes no sense. Try again.")) from None


class _Shown:
    """A passkey that a browser presents: right, or an error beside the field."""

    def clean_credential(self) -> Any:
        try:
            return super().clean_credential()  # type: ignore[misc]
        except _MALFORMED:
            raise ValidationError(_("This passkey is not known here.")) from None


class PasskeySignInForm(_Shown, LoginWebAuthnForm):  # type: ignore[misc]
    """Instead of password and code."""


class PasskeySecondFactorForm(_Shown, AuthenticateWebAuthnForm):  # type: ignore[misc]
    """After the password."""


class PasskeyConfirmationForm(_Shown, ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """Before a change to what protects the account."""


class DeletionForm(forms.Form):
    """Typed by hand, so that nobody deletes an account by a slip."""

    email = forms.CharField(
        label=_("Your email address"),
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user

    def clean_email(self) -> str:
        typed = str(self.cleaned_data["email"]).strip()
        if typed.casefold() != self._user.email.casefold():
            raise ValidationError(_("This is not the address of your account."))
        return typed
