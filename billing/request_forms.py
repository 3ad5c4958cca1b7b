"""What the log of requests can be asked for, as its URL says it."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.forms import UsdField
from accounts.models import ApiKey, Organization, Project
from billing import periods
from billing.models import BillingReason
from billing.request_log import Filters
from providers.models import Model

# What a select can be read for. A key that is not offered is filtered for from its own page.
_CHOICES_MAX = 100
_DIGITS_MAX = 18
_AGES = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_PERIODS: list[tuple[str, Any]] = [
    ("", _("Any time")),
    ("1h", _("Last hour")),
    ("24h", _("Last 24 hours")),
    ("7d", _("Last 7 days")),
    ("30d", _("Last 30 days")),
]
_STATUSES = [
    ("", _("Any status")),
    ("ok", _("Succeeded")),
    ("error", _("Failed")),
    ("client", _("Failed, 4xx")),
    ("provider", _("Failed, 5xx")),
]


class RequestFilterForm(forms.Form):
    """Every field is optional; one that is wrong is told beside it and filters nothing."""

    period = forms.ChoiceField(label=_("Period"), required=False)
    status = forms.ChoiceField(label=_("Status"), required=False, choices=_STATUSES)
    model = forms.ChoiceField(label=_("Model"), required=False)
    key = forms.ChoiceField(label=_("Key"), required=False)
    project = forms.ChoiceField(label=_("Project"), required=False)
    reason = forms.ChoiceField(
        label=_("Ending"), required=False, choices=[("", _("Any ending")), *BillingReason.choices]
    )
    cost_min = UsdField(label=_("Charged at least, USD"), required=False)

    def __init__(self, data: Any, organization: Organization) -> None:
        super().__init__(data)
        offered = {
            "period": [*_PERIODS, *self._date()],
            "model": [("", _("Every model")), *_models()],
            "key": [("", _("Every key")), *self._keys(organization)],
            "project": [("", _("Every project")), *_projects(organization)],
        }
        for name, choices in offered.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def filters(self) -> Filters:
        """What is asked for, of this organization; wrong fields left out."""
        self.is_valid()
        given = self.cleaned_data
        since, until = _bounds(given.get("period", ""))
        return Filters(
            since=since,
            until=until,
            status=given.get("status", ""),
            model=given.get("model", ""),
            key_id=int(given["key"]) if given.get("key") else None,
            project_id=int(given["project"]) if given.get("project") else None,
            reason=given.get("reason", ""),
            cost_min_nanos=given.get("cost_min"),
        )

    def _date(self) -> list[tuple[str, str]]:
        """A day or a span of days, as links from other pages give it."""
        key = self.data.get("period", "")
        period = periods.parse(key)
        return [(key, str(period.label))] if key not in _AGES and period.key == key else []

    def _keys(self, organization: Organization) -> list[tuple[str, str]]:
        mine = ApiKey.objects.filter(organization=organization)
        found = list(mine.order_by("-pk")[:_CHOICES_MAX])
        chosen = self.data.get("key", "")
        is_number = chosen.isascii() and chosen.isdigit() and len(chosen) <= _DIGITS_MAX
        if is_number and int(chosen) not in {key.pk for key in found}:
            found += mine.filter(pk=int(chosen))
        return [(str(key.pk), f"{key.name} …{key.last_four}") for key in found]


def _models() -> list[tuple[str, str]]:
    names = Model.objects.order_by("name").values_list("name", flat=True)[:_CHOICES_MAX]
    return [(name, name) for name in names]


def _projects(organization: Organization) -> list[tuple[str, str]]:
    mine = Project.objects.filter(organization=organization).order_by("name")
    return [(str(one.pk), one.name) for one in mine[:_CHOICES_MAX]]


def _bounds(period: str) -> tuple[datetime | None, datetime | None]:
    if not period:
        return None, None
    if period in _AGES:
        return timezone.now() - _AGES[period], None
    span = periods.parse(period).span
    return span.start, span.end
