"""Overview: what is left, what it went on, how fast it came, and what to do next."""

from datetime import date, timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import MemberRequest, member_required
from billing import (
    charts,
    labels,
    latency,
    periods,
    request_log,
    spend_caps,
    spending,
    usage_charts,
)
from billing.periods import today
from billing.templatetags.figures import milliseconds

_RECENT = 6
_PERIOD = "30d"
_GROUPS = [
    ("model", gettext_lazy("Model")),
    ("project", gettext_lazy("Project")),
    ("key", gettext_lazy("Key")),
]


@member_required
def overview(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    now, period = today(), periods.parse(_PERIOD)
    group = request.GET.get("by", "model")
    group = group if group in dict(_GROUPS) else "model"
    table = spending.table(organization.pk, period, group)
    names = labels.of(organization.pk, group, table.groups("charge_nanos")[: charts.SERIES_MAX])
    recent = request_log.find(organization.pk, request_log.Filters(), limit=_RECENT).rows
    times = latency.by_day(organization.pk, period.first, period.last)
    context = {
        "today": spending.total_of(table.by_slot, now),
        "week": spending.total_of(table.by_slot, now - timedelta(6)),
        "month": table.total,
        "by": group,
        "groups": _GROUPS,
        "chart": usage_charts.make(table, "charge_nanos", names),
        "latency_chart": _latency_chart(period.days, times),
        "median_ms": latency.milliseconds(latency.together(times.values()), 0.5),
        "recent": recent,
        "is_new": not recent and not table.total.requests,
        "standing": spend_caps.standing(organization),
        "low": organization.wallet.available_nanos <= 0,
    }
    return render(request, "billing/overview.html", context)


def _latency_chart(days: list[date], times: dict[date, Any]) -> charts.Chart | None:
    if not times:
        return None
    found = [times.get(day, {}) for day in days]
    series = [
        (_("median"), [latency.milliseconds(counts, 0.5) for counts in found]),
        (_("95th percentile"), [latency.milliseconds(counts, 0.95) for counts in found]),
    ]
    return charts.lines([usage_charts.label(day) for day in days], series, milliseconds)
