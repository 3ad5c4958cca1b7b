"""Forms about money: what a person may type, and the words for what is wrong with it.

Amounts are typed in USD and come out as integers: of cents where a provider charges them, of nanos
where the ledger compares them.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.forms import UsdField
from billing import countries
from billing.models import BillingDetails
from billing.payments import orders
from billing.payments.gateway import PaymentGateway, SavedMethod

_USD_MAX = Decimal(1_000_000)
_MIN = Decimal(orders.AMOUNT_MINOR_MIN) / 100
_MAX = Decimal(orders.AMOUNT_MINOR_MAX) / 100


class CentsField(forms.DecimalField):
    """An amount in USD that becomes cents."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=12, decimal_places=2, **kwargs)

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * 100)


def _amount(label: Any, **kwargs: Any) -> CentsField:
    return CentsField(
        label=label,
        min_value=_MIN,
        max_value=_MAX,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "0.01"}),
        **kwargs,
    )


def _threshold(label: Any, **kwargs: Any) -> UsdField:
    return UsdField(
        label=label,
        max_value=_USD_MAX,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any", "min": "0"}),
        **kwargs,
    )


class TopUpForm(forms.Form):
    """How much, and how."""

    amount = _amount(_("Amount"), initial=25, help_text=_("USD, from 5 to 10,000."))
    provider = forms.ChoiceField(label=_("Pay by"), widget=forms.RadioSelect)
    saves_method = forms.BooleanField(
        label=_("Save the card, so that automatic top-up can charge it"), required=False
    )

    def __init__(self, *args: Any, gateways: Sequence[PaymentGateway], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(one.name, one.label) for one in gateways]
        self.fields["provider"].choices = choices  # type: ignore[attr-defined]
        self.fields["provider"].initial = choices[0][0] if choices else None
        if len(choices) == 1:
            self.fields["provider"].widget = forms.HiddenInput()
        if not any(one.saves_methods for one in gateways):
            del self.fields["saves_method"]


class RedeemForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=64,
        widget=forms.TextInput(
            attrs={
                "class": "mono",
                "placeholder": "XXXX-XXXX-XXXX-XXXX",
                "autocomplete": "off",
                "spellcheck": "false",
                "autocapitalize": "characters",
            }
        ),
        help_text=_("It is worth its amount once. Spaces and lower case do not matter."),
    )


class AutoTopUpForm(forms.Form):
    """When, how much, from which card, and how much at most."""

    threshold_nanos = _threshold(
        _("When the balance falls below"),
        initial=Decimal(10),
        help_text=_("USD. Holds are not deducted."),
    )
    amount_minor = _amount(_("Charge"), initial=25, help_text=_("USD, each time."))
    cap_minor = _amount(
        _("At most per month"), initial=100, help_text=_("USD per UTC month, all charges together.")
    )
    method_id = forms.ChoiceField(label=_("Card"))

    def __init__(self, *args: Any, methods: Sequence[SavedMethod], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(one.id, f"{one.label}, {one.expires}") for one in methods]
        self.fields["method_id"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        amount, cap = data.get("amount_minor"), data.get("cap_minor")
        if amount is not None and cap is not None and cap < amount:
            self.add_error("cap_minor", _("This must allow one charge at least."))
        return data


class CapForm(forms.Form):
    """Emptied, there is no cap; zero stops everything."""

    cap_nanos = _threshold(
        _("Cap"),
        required=False,
        help_text=_("USD per UTC month. Empty: no cap."),
    )


class AlertForm(forms.Form):
    threshold_nanos = _threshold(
        _("Mail us when a month’s usage reaches"), help_text=_("USD per UTC month.")
    )

    def clean_threshold_nanos(self) -> int:
        nanos: int = self.cleaned_data["threshold_nanos"]
        if nanos <= 0:
            raise ValidationError(_("Choose an amount above zero."))
        return nanos


class BillingDetailsForm(forms.ModelForm):  # type: ignore[type-arg]
    """Whom invoices name. Everything is optional; a VAT number needs its country."""

    country = forms.ChoiceField(
        label=_("Country"),
        required=False,
        choices=[("", "–"), *countries.CHOICES],
        widget=forms.Select(attrs={"autocomplete": "country", "data-countries": ""}),
    )

    class Meta:
        model = BillingDetails
        fields = ("company", "line_1", "line_2", "postal_code", "city", "region", "country",
                  "vat_id")  # fmt: skip
        labels = {
            "company": _("Company"),
            "line_1": _("Address"),
            "line_2": _("Address, second line"),
            "postal_code": _("Postal code"),
            "city": _("City"),
            "region": _("State or region"),
            "vat_id": _("VAT or tax number"),
        }
        widgets = {
            "company": forms.TextInput(attrs={"autocomplete": "organization"}),
            "line_1": forms.TextInput(attrs={"autocomplete": "address-line1"}),
            "line_2": forms.TextInput(attrs={"autocomplete": "address-line2"}),
            "postal_code": forms.TextInput(attrs={"autocomplete": "postal-code"}),
            "city": forms.TextInput(attrs={"autocomplete": "address-level2"}),
            "region": forms.TextInput(attrs={"autocomplete": "address-level1"}),
            "vat_id": forms.TextInput(attrs={"class": "mono", "autocomplete": "off"}),
        }

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        country, number = data.get("country"), data.get("vat_id")
        if number and not country:
            self.add_error("country", _("Choose the country that gave out the number."))
        elif number and country:
            try:
                data["vat_id"] = countries.clean_vat(country, number)
            except countries.NotVat:
                self.add_error(
                    "vat_id", _("No number of this country looks like this. Check for a typo.")
                )
        return data
