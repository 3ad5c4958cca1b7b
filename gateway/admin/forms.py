"""The operator's forms. Amounts are typed in USD and kept in nanos."""

import uuid
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Organization, User
from billing import adjustments, money
from billing.models import AdjustmentRequest, Plan
from billing.payments import amounts, codes


class UsdField(forms.CharField):
    """A positive amount of USD; its value is nanos."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=22,
            widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
            **options,
        )

    def clean(self, value: Any) -> Any:
        try:
            nanos = money.parse_usd(super().clean(value).strip())
        except money.NotMoney as error:
            raise ValidationError(str(error)) from None
        if not nanos:
            raise ValidationError("The amount is above zero.")
        return nanos


class AdjustmentForm(forms.Form):
    direction = forms.ChoiceField(
        choices=[("credit", "Credit: into the balance"), ("debit", "Debit: out of the balance")],
        widget=forms.RadioSelect,
        initial="credit",
    )
    amount = UsdField(label="Amount, USD")
    reason = forms.CharField(
        max_length=300, help_text="The customer reads it in their history.",
        widget=forms.TextInput(attrs={"size": 60}),
    )  # fmt: skip
    form_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def ask(self, organization: Organization, by: User) -> AdjustmentRequest:
        """Raises `ledger.InsufficientFunds`."""
        facts = self.cleaned_data
        sign = 1 if facts["direction"] == "credit" else -1
        return adjustments.ask(
            organization, sign * facts["amount"], reason=facts["reason"], by=by,
            form_id=facts["form_id"],
        )  # fmt: skip


class PlanForm(forms.Form):
    plan = forms.ModelChoiceField(
        Plan.objects.all(), empty_label=None, help_text="At once, and without a fee."
    )


class CodesForm(forms.Form):
    """A batch of redeem codes."""

    amount = UsdField(label="What each is worth, USD")
    count = forms.IntegerField(min_value=1, max_value=codes.COUNT_MAX)
    batch = forms.CharField(max_length=60, help_text="What they are for, such as launch-2026.")
    expires = forms.DateField(
        required=False, help_text="The last day (UTC); empty: they do not expire.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )  # fmt: skip

    def clean_expires(self) -> datetime | None:
        day = self.cleaned_data["expires"]
        if day is None:
            return None
        end = datetime.combine(day, time(23, 59, 59), UTC)
        if end < timezone.now():
            raise ValidationError("That day is over.")
        return end


class RefundForm(forms.Form):
    amount = UsdField(label="Amount, USD")
    beyond_balance = forms.BooleanField(
        required=False, label="Also what the balance no longer has: the platform's loss"
    )

    def clean_amount(self) -> int:
        """Cents."""
        try:
            return amounts.minor(self.cleaned_data["amount"])
        except ValueError as error:
            raise ValidationError(str(error)) from None


class ConfirmForm(forms.Form):
    """Money of a bank transfer has arrived."""

    amount = UsdField(label="What arrived, USD")
    statement = forms.CharField(
        max_length=100, help_text="The bank's own name for the entry; each counts once."
    )
    clean_amount = RefundForm.clean_amount
