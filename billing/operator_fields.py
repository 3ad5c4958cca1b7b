"""Fields of the operator's forms whose stored values nobody could read: nanos, parts per million,
bits of weekdays and minutes of a day."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing import money

PPM = 1_000_000
PPM_MAX = 2_000_000_000
DAYS = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
MINUTES = 1440


class _TypedField(forms.CharField):
    """Typed as people write it; its value is the stored integer."""

    suffix = ""

    def __init__(self, **options: Any) -> None:
        attributes = {"inputmode": "decimal", "autocomplete": "off", "size": "14"}
        options.setdefault("max_length", 22)
        options.setdefault("widget", forms.TextInput(attrs=attributes))
        super().__init__(**options)

    def read(self, text: str) -> int:
        """Raises ValidationError."""
        raise NotImplementedError

    def write(self, value: int) -> str:
        raise NotImplementedError

    def prepare_value(self, value: Any) -> Any:
        return self.write(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip()
        return self.read(text) if text else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(self.prepare_value(initial) or "") != str(data or "").strip()


class UsdField(_TypedField):
    """An amount of USD, kept in nanos; zero only where `may_be_zero`."""

    def __init__(self, *, may_be_zero: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.may_be_zero = may_be_zero

    def read(self, text: str) -> int:
        try:
            nanos = money.parse_usd(text)
        except money.NotMoney:
            said = _("Write an amount like 10 or 0.25, with at most 9 decimals.")
            raise ValidationError(said) from None
        if not nanos and not self.may_be_zero:
            raise ValidationError(_("The amount is above zero."))
        return nanos

    def write(self, value: int) -> str:
        return money.format_usd(value)


class FactorField(_TypedField):
    """A factor such as 1.2, kept in parts per million."""

    unit = PPM

    def read(self, text: str) -> int:
        try:
            parts = Decimal(text) * self.unit
        except InvalidOperation:
            raise ValidationError(_("Write a number like 1 or 1.25.")) from None
        if not parts.is_finite() or not 0 <= parts <= PPM_MAX or parts != int(parts):
            raise ValidationError(_("Write a number like 1 or 1.25."))
        return int(parts)

    def write(self, value: int) -> str:
        return f"{(Decimal(value) / self.unit).normalize():f}"


class PercentField(FactorField):
    """Per cent, kept in parts per million."""

    unit = PPM // 100


class MinuteField(_TypedField):
    """A time of the day such as 09:30, kept as minutes; 24:00 is the day's end."""

    def read(self, text: str) -> int:
        hours, _colon, minutes = text.partition(":")
        if hours.isdecimal() and minutes.isdecimal() and int(minutes) < 60:
            total = int(hours) * 60 + int(minutes)
            if total <= MINUTES:
                return total
        raise ValidationError(_("Write a time like 09:30."))

    def write(self, value: int) -> str:
        return f"{value // 60:02d}:{value % 60:02d}"


class WeekdaysField(forms.TypedMultipleChoiceField):
    """Days of the week, kept as bits from Monday; none is every day."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **options: Any) -> None:
        choices = [(1 << bit, name) for bit, name in enumerate(DAYS)]
        super().__init__(choices=choices, coerce=int, **{"required": False} | options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return [1 << bit for bit in range(7) if value & 1 << bit]
        return value

    def clean(self, value: Any) -> Any:
        return sum(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial or 0), data)


def field_for(name: str) -> type[forms.Field] | None:
    """The field that a column of this name is edited with, where it is one of these."""
    if name.endswith(("_nanos", "_nanos_per_month")):
        return UsdField
    return _BY_NAME.get(name)


_BY_NAME: dict[str, type[forms.Field]] = {
    "markup_ppm": FactorField,
    "rate_ppm": PercentField,
    "tax_rate_ppm": PercentField,
    "weekdays": WeekdaysField,
    "start_minute": MinuteField,
    "end_minute": MinuteField,
}
