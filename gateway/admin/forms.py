"""The operator's forms. Amounts are typed in USD and kept in nanos."""

import uuid
from datetime import UTC, datetime, time

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Organization, User
from billing import adjustments
from billing.models import AdjustmentRequest, Plan
from billing.operator_fields import UsdField
from billing.payments import amounts, codes


class AdjustmentForm(forms.Form):
    direction = forms.ChoiceField(
        label=gettext_lazy("Direction"),
        choices=[("credit", gettext_lazy("Credit: into the balance")),
                 ("debit", gettext_lazy("Debit: out of the balance"))],
        widget=forms.RadioSelect,
        initial="credit",
    )  # fmt: skip
    amount = UsdField(label=gettext_lazy("Amount, USD"))
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=300, help_text=gettext_lazy("The customer reads it in their history."),
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
        Plan.objects.none(), empty_label=None, label=gettext_lazy("Plan"),
        help_text=gettext_lazy("At once, and without a fee."),
    )  # fmt: skip

    def offer(self, plans: "QuerySet[Plan]") -> None:
        self.fields["plan"].queryset = plans  # type: ignore[attr-defined]


class CodesForm(forms.Form):
    """A batch of redeem codes."""

    amount = UsdField(label=gettext_lazy("What each is worth, USD"))
    count = forms.IntegerField(
        min_value=1, max_value=codes.COUNT_MAX, label=gettext_lazy("How many")
    )
    batch = forms.CharField(
        max_length=60, label=gettext_lazy("Batch"),
        help_text=gettext_lazy("What they are for, such as launch-2026."),
    )  # fmt: skip
    expires = forms.DateField(
        required=False, label=gettext_lazy("Last day"),
        help_text=gettext_lazy("UTC; empty: they do not expire."),
        widget=forms.DateInput(attrs={"type": "date"}),
    )  # fmt: skip

    def clean_expires(self) -> datetime | None:
        day = self.cleaned_data["expires"]
        if day is None:
            return None
        end = datetime.combine(day, time(23, 59, 59), UTC)
        if end < timezone.now():
            raise ValidationError(_("That day is over."))
        return end


class _CentsForm(forms.Form):
    amount = UsdField(label=gettext_lazy("Amount, USD"))

    def clean_amount(self) -> int:
        """Cents."""
        try:
            return amounts.minor(self.cleaned_data["amount"])
        except ValueError:
            raise ValidationError(_("Whole cents only.")) from None


class RefundForm(_CentsForm):
    beyond_balance = forms.BooleanField(
        required=False,
        label=gettext_lazy("Also what the balance no longer has: the platform’s loss"),
    )
    # Cents that were refunded when the form was opened: sent twice, it is one refund.
    seen_refunded = forms.IntegerField(min_value=0, widget=forms.HiddenInput)


class ConfirmForm(_CentsForm):
    """Money of a bank transfer has arrived."""

    amount = UsdField(label=gettext_lazy("What arrived, USD"))
    statement = forms.CharField(
        label=gettext_lazy("Entry of the statement"), max_length=100,
        help_text=gettext_lazy("The bank’s own name for the entry; each counts once."),
    )  # fmt: skip


class CreditNoteForm(_CentsForm):
    """Part of an invoice is given back."""

    amount = UsdField(label=gettext_lazy("Amount with tax, USD"))
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=200,
        help_text=gettext_lazy("The customer reads it on the credit note."),
        widget=forms.TextInput(attrs={"size": 60}),
    )  # fmt: skip
