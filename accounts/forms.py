"""Forms: what a person may type, and the words for what is wrong with it."""

import ipaddress
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import invitations, organizations
from accounts.models import User

_NANOS = 10**9
_ADDRESSES_MAX = 50


class SignupForm(forms.Form):
    """What sign-up asks beyond email and password (allauth's ACCOUNT_SIGNUP_FORM_CLASS)."""

    organization = forms.CharField(
        label=_("Organization"),
        max_length=100,
        required=False,
        help_text=_("Your team or company. Left empty, it is named after your email address."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ("email", "password1", "organization")

    def signup(self, request: HttpRequest, user: User) -> None:
        """Called by allauth once the user is saved. The invited join another's organization."""
        if invitations.is_expected(request, user.email):
            return
        # Another address than the invited one has to be confirmed like anybody's.
        invitations.forget(request)
        organizations.create(self.cleaned_data["organization"].strip() or _name_for(user), user)


def _name_for(user: User) -> str:
    name = user.email.partition("@")[0].partition("+")[0].replace(".", " ").strip()
    return f"{name[:80].title() or 'My organization'}"


class OrganizationForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100)


class AddressListField(forms.CharField):
    """IP addresses and CIDR networks, one a line or separated by commas."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"})

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        given = [part for part in text.replace(",", "\n").split() if part]
        if len(given) > _ADDRESSES_MAX:
            raise ValidationError(_("At most %(n)s entries."), params={"n": _ADDRESSES_MAX})
        return [self._network(part) for part in given]

    @staticmethod
    def _network(part: str) -> str:
        try:
            network = ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValidationError(
                _("“%(part)s” is not an IP address or CIDR network, such as 203.0.113.0/24."),
                params={"part": part},
            ) from None
        alone = network.prefixlen == network.max_prefixlen
        return str(network.network_address if alone else network)


class UsdField(forms.DecimalField):
    """An amount in USD that becomes nanos."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=Decimal(0), max_digits=15, decimal_places=9, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return f"{Decimal(value) / _NANOS:f}" if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * _NANOS)
