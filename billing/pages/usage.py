"""Usage: per day, stacked by model, project or key, with the same figures as a table."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from accounts.access import MemberRequest, member_required
from accounts.models import ApiKey, Organization, Project
from billing import charts, periods, spending

MEASURES = [
    ("charge_nanos", _("Spend")),
    ("tokens", _("Tokens")),
    ("requests", _("Requests")),
]
_GROUPS = [("model", _("Model")), ("project", _("Project")), ("key", _("Key"))]
# What a table on a page can be read for; the total counts them all.
_ROWS_MAX = 100
_URL_MEASURES = {"spend": "charge_nanos", "tokens": "tokens", "requests": "requests"}


@member_required
def usage(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    period = periods.parse(request.GET.get("period", ""))
    group = request.GET.get("by", "model")
    group = group if group in spending.GROUPS else "model"
    shown = request.GET.get("show", "spend")
    shown = shown if shown in _URL_MEASURES else "spend"
    measure = _URL_MEASURES[shown]
    table = spending.table(organization.pk, period, group, measure)
    groups = table.groups(measure)
    names = _names(organization, group, groups[:_ROWS_MAX])
    context = {
        "period": period,
        "periods": periods.CHOICES,
        "by": group,
        "groups": _GROUPS,
        "show": shown,
        "shows": [(key, label) for key, (_m, label) in zip(_URL_MEASURES, MEASURES, strict=True)],
        "chart": charts.of_usage(table, measure, names),
        "total": table.total,
        "rows": [(names.get(name, name), table.by_group[name]) for name in groups[:_ROWS_MAX]],
        "left_out": len(groups[_ROWS_MAX:]),
        "days": [(day, table.by_day[day]) for day in reversed(period.days) if day in table.by_day],
    }
    return render(request, "billing/usage.html", context)


def _names(organization: Organization, group: str, shown: list[Any]) -> dict[Any, str]:
    """What ids are called: projects and keys of this organization, revoked ones included."""
    if group == "project":
        projects = Project.objects.filter(organization=organization, pk__in=shown)
        rows = projects.values_list("pk", "name")
    elif group == "key":
        keys = ApiKey.objects.filter(organization=organization, pk__in=shown)
        rows = [(key.pk, f"{key.name} …{key.last_four}") for key in keys]  # type: ignore[assignment]
    else:
        return {}
    return {0: str(_("(none)")), **dict(rows)}
