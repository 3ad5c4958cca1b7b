"""What a person says of a webhook endpoint."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.webhooks import addresses
from accounts.webhooks.events import TYPES
from accounts.webhooks.models import URL_CHARS

_WRONG = {
    "url": _("Write a whole address, such as https://example.com/hooks, in plain characters."),
    "scheme": _("The address must begin with https://."),
    "userinfo": _("Leave name and password out of the address: check the signature instead."),
    "port": _("Only the ports 443 and 8443 are called."),
    "private": _("This name does not lead to a public address, so it cannot be called."),
    "unknown": _("No address was found for this name. Check its spelling, or try again later."),
    "slow": _("The name could not be looked up in time. Try again."),
}


class EndpointForm(forms.Form):
    """Where to, and what of."""

    url = forms.CharField(
        label=_("Address"),
        max_length=URL_CHARS,
        widget=forms.URLInput(
            attrs={
                "class": "mono",
                "placeholder": "https://example.com/hooks",
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
        help_text=_("We send a POST there for every event, over HTTPS."),
    )
    description = forms.CharField(
        label=_("Description"),
        max_length=100,
        required=False,
        help_text=_("What receives them, such as “billing dashboard”."),
    )
    event_types = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[(name, name) for name in TYPES],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose one at least.")},
    )

    def clean_url(self) -> str:
        """Looked up as a delivery would do it."""
        url: str = self.cleaned_data["url"].strip()
        try:
            addresses.vet(url)
        except addresses.Refused as refused:
            raise ValidationError(_WRONG[refused.why]) from None
        return url

    @property
    def events(self) -> list[tuple[Any, Any]]:
        """Each type's checkbox and the words for it."""
        return list(zip(self["event_types"], TYPES.values(), strict=True))


class SecretForm(forms.Form):
    """How long the old secret signs beside the new one."""

    overlap = forms.TypedChoiceField(
        label=_("The old secret signs for another"),
        coerce=lambda hours: timedelta(hours=int(hours)),
        initial="24",
        choices=[
            ("0", _("no time: it stops at once")),
            ("1", _("hour")),
            ("24", _("24 hours")),
            ("168", _("7 days")),
        ],
        help_text=_("Until then each event carries two signatures: receivers with either secret"
                    " accept it."),
    )  # fmt: skip
