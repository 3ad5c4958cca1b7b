"""One key: what it may do, what it has spent of its caps, its usage and its latest requests."""

from django.http import HttpResponse
from django.shortcuts import render

from accounts import keys
from accounts.access import MemberRequest, member_required
from billing import budgets, periods, request_log, spending, usage_charts
from gateway.pages.keys import find

_RECENT = 8
_PERIOD = "30d"


@member_required
def key_detail(request: MemberRequest, pk: int) -> HttpResponse:
    organization = request.membership.organization
    key = find(organization, pk)
    is_family = key.rotated_from_id is not None or hasattr(key, "rotated_to")
    table = spending.table(
        organization.pk, periods.parse(_PERIOD), "model", filters=spending.Filters(key=key.pk)
    )
    recent = request_log.find(organization.pk, request_log.Filters(key_id=key.pk), limit=_RECENT)
    spent = budgets.spent(key)
    context = {
        "key": key,
        "lineage": keys.lineage(key) if is_family else [],
        "caps": [
            (label, used, cap, min(100, 100 * used // cap) if cap else 100)
            for label, used, cap in (
                ("day", spent.day_nanos, key.spend_cap_day_nanos),
                ("month", spent.month_nanos, key.spend_cap_month_nanos),
            )
            if cap is not None
        ],
        "chart": usage_charts.make(table, "charge_nanos", {}),
        "total": table.total,
        "recent": recent,
    }
    return render(request, "gateway/key.html", context)
