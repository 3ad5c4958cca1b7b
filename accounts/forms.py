"""Forms: what a person may type, and the words for what is wrong with it."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import organizations
from accounts.models import Organization, Project, User

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
        """Called by allauth once the user is saved."""
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

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * _NANOS)


class KeyForm(forms.Form):
    """A new API key. Projects and model names are the caller's to offer."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What will use it, such as “production backend”."),
    )
    project = forms.ModelChoiceField(
        queryset=Project.objects.none(), label=_("Project"), empty_label=None
    )
    expires = forms.ChoiceField(
        label=_("Expires"),
        required=False,
        choices=[
            ("", _("Never")),
            ("7", _("In 7 days")),
            ("30", _("In 30 days")),
            ("90", _("In 90 days")),
            ("365", _("In a year")),
            ("date", _("On a date…")),
        ],
    )
    expires_on = forms.DateField(
        label=_("Expiry date"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("It stops working at the start of that day, UTC."),
    )
    allowed_models = forms.MultipleChoiceField(
        label=_("Models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every model."),
    )
    allowed_addresses = AddressListField(
        label=_("Addresses"),
        required=False,
        help_text=_("IP addresses or CIDR networks that may use it. Empty: any address."),
    )
    spend_cap_day_nanos = UsdField(
        label=_("Daily spend cap"), required=False, help_text=_("USD per UTC day.")
    )
    spend_cap_month_nanos = UsdField(
        label=_("Monthly spend cap"), required=False, help_text=_("USD per UTC month.")
    )

    def __init__(
        self, *args: Any, organization: Organization, models: Iterable[str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        projects = organization.projects.order_by("pk")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]
        self.fields["allowed_models"].choices = [  # type: ignore[attr-defined]
            (name, name) for name in models
        ]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        is_dateless = data.get("expires") == "date" and not data.get("expires_on")
        if is_dateless and "expires_on" not in self.errors:
            self.add_error("expires_on", _("Choose the date, or another expiry."))
        data["expires_at"] = self._expires_at(data)
        if data["expires_at"] and data["expires_at"] <= timezone.now():
            self.add_error("expires_on", _("Choose a date in the future."))
        return data

    @property
    def has_limit_errors(self) -> bool:
        """Whether the folded part of the form holds an error and must be open."""
        folded = {"allowed_models", "allowed_addresses", "spend_cap_day_nanos"}
        return bool(self.errors.keys() & (folded | {"spend_cap_month_nanos"}))

    @staticmethod
    def _expires_at(data: dict[str, Any]) -> datetime | None:
        choice = data.get("expires")
        if choice == "date":
            day = data.get("expires_on")
            return datetime.combine(day, time(), UTC) if day else None
        return timezone.now() + timedelta(days=int(choice)) if choice else None
