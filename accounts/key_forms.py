"""What a person may ask of a key: its limits when it is made and later, and how it is replaced."""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.forms import AddressListField, UsdField
from accounts.keys import CHANGEABLE
from accounts.models import ApiKey, Organization, Project

# What a PositiveIntegerField holds.
_PER_MINUTE_MAX = 2**31 - 1
_KEEP = "keep"
_EXPIRIES = [
    ("", _("Never")),
    ("7", _("In 7 days")),
    ("30", _("In 30 days")),
    ("90", _("In 90 days")),
    ("365", _("In a year")),
    ("date", _("On a date…")),
]


def _per_minute(label: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=1,
        max_value=_PER_MINUTE_MAX,
        help_text=_("Below your plan's; empty takes the plan's alone."),
    )


class LimitsForm(forms.Form):
    """A name and limits. Model names are the caller's to offer."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What will use it, such as “production backend”."),
    )
    expires = forms.ChoiceField(label=_("Expires"), required=False, choices=_EXPIRIES)
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
    requests_per_minute = _per_minute(_("Requests per minute"))
    tokens_per_minute = _per_minute(_("Tokens per minute"))

    def __init__(self, *args: Any, models: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [(name, name) for name in models]
        self.fields["allowed_models"].choices = offered  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        is_dateless = data.get("expires") == "date" and not data.get("expires_on")
        if is_dateless and "expires_on" not in self.errors:
            self.add_error("expires_on", _("Choose the date, or another expiry."))
        data["expires_at"] = self._expires_at(data)
        if data["expires_at"] and data["expires_at"] <= timezone.now():
            self.add_error("expires_on", _("Choose a date in the future."))
        return data

    def limits(self) -> dict[str, Any]:
        """What was typed, by the names of the key's columns; valid forms only."""
        return {name: self.cleaned_data[name] for name in CHANGEABLE}

    @property
    def has_limit_errors(self) -> bool:
        """Whether the folded part of the form holds an error and must be open."""
        return bool(self.errors.keys() & set(CHANGEABLE) - {"name"})

    def _expires_at(self, data: dict[str, Any]) -> datetime | None:
        choice = data.get("expires")
        if choice == "date":
            day = data.get("expires_on")
            return datetime.combine(day, time(), UTC) if day else None
        return timezone.now() + timedelta(days=int(choice)) if choice else None


class KeyForm(LimitsForm):
    """A new key, in one of the organization's projects."""

    project = forms.ModelChoiceField(
        queryset=Project.objects.none(), label=_("Project"), empty_label=None
    )

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = organization.projects.filter(archived_at=None).order_by("pk")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]


class KeyChangeForm(LimitsForm):
    """An existing key's. Its expiry stays as it is unless another is chosen; models it may use
    that the catalog no longer offers stay choosable."""

    def __init__(self, *args: Any, key: ApiKey, models: Iterable[str], **kwargs: Any) -> None:
        offered = list(dict.fromkeys([*models, *key.allowed_models]))
        super().__init__(*args, models=offered, initial=_initial(key), **kwargs)
        self._key = key
        if key.expires_at:
            stays = gettext("As it is: %(at)s UTC") % {"at": f"{key.expires_at:%Y-%m-%d %H:%M}"}
            self.fields["expires"].choices = [(_KEEP, stays), *_EXPIRIES]  # type: ignore[attr-defined]

    def _expires_at(self, data: dict[str, Any]) -> datetime | None:
        return self._key.expires_at if data.get("expires") == _KEEP else super()._expires_at(data)


def _initial(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "expires": _KEEP if key.expires_at else "",
        "allowed_models": key.allowed_models,
        "allowed_addresses": "\n".join(key.allowed_addresses),
        "spend_cap_day_nanos": key.spend_cap_day_nanos,
        "spend_cap_month_nanos": key.spend_cap_month_nanos,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
    }


class RotateForm(forms.Form):
    """How long the old key goes on beside the new one."""

    overlap = forms.TypedChoiceField(
        label=_("The old key works for another"),
        coerce=lambda hours: timedelta(hours=int(hours)),
        initial="24",
        choices=[
            ("0", _("no time: it stops at once")),
            ("1", _("hour")),
            ("24", _("24 hours")),
            ("168", _("7 days")),
        ],
        help_text=_("Put the new one in place within that time; both are charged and counted."),
    )
