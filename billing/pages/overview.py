"""Overview: what is left, what it went on, and what to do next."""

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render

from accounts.access import MemberRequest, member_required
from billing import periods, spending, usage_charts
from billing.models import UsageRecord
from billing.periods import today

_RECENT = 6


@member_required
def overview(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    now = today()
    table = spending.table(organization.pk, periods.parse("30d"))
    days = dict(table.by_slot)
    recent = list(
        UsageRecord.objects.filter(organization_id=organization.pk).order_by("-id")[:_RECENT]
    )
    context = {
        "today": spending.total_of(days, now),
        "week": spending.total_of(days, now - timedelta(6)),
        "month": table.total,
        "chart": usage_charts.make(table, "charge_nanos", {}),
        "models": [(name, table.by_group[name]) for name in table.groups("charge_nanos")[:5]],
        "recent": recent,
        "is_new": not recent and not table.total.requests,
        "low": organization.wallet.available_nanos <= 0,
    }
    return render(request, "billing/overview.html", context)
