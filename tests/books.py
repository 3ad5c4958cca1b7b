"""What operators' books are played with: sums of cost, as a worker would have kept them."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils import timezone

from billing.bills import imports
from billing.models import CostDay, OrganizationDay, UpstreamBill, UpstreamHour, UsageDay
from billing.money import format_usd
from billing.periods import today
from providers.models import Model

_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")


def day(charge_nanos: int, cost_nanos: int, organization: Any = None, **facts: Any) -> CostDay:
    """Ten requests of one model on one day; of an organization's too, where one is given."""
    facts = {"day": today(), "model": "qwen-plus", "provider": "alibaba", "requests": 10} | facts
    facts["month"] = date.fromisoformat(str(facts["day"])).replace(day=1)
    if organization is not None:
        OrganizationDay.objects.create(
            organization_id=organization.pk, charge_nanos=charge_nanos, cost_nanos=cost_nanos,
            **{name: facts[name] for name in ("day", "month", "requests", "errors", "unrated")
               if name in facts},
        )  # fmt: skip
    return CostDay.objects.create(charge_nanos=charge_nanos, cost_nanos=cost_nanos, **facts)


def hour(at: datetime, **facts: Any) -> UpstreamHour:
    """What was used upstream in one hour."""
    facts = {"provider": "deepseek", "model": "deepseek-chat", "channel_id": 0,
             "upstream_model": "deepseek-flash", "requests": 1} | facts  # fmt: skip
    return UpstreamHour.objects.create(hour=at, month=at.date().replace(day=1), **facts)


def follow(organization: Any) -> None:
    """Costs for the days of use that the organization has: 78 cents for each dollar."""
    makers = dict(Model.objects.values_list("name", "owned_by"))
    for used in UsageDay.objects.filter(organization_id=organization.pk):
        provider = "deepseek" if makers.get(used.model) == "deepseek" else "alibaba"
        cost_nanos = used.charge_nanos * 78 // 100
        facts = {name: getattr(used, name) for name in (*_TOKENS, "requests", "errors")}
        where = {"month": used.day.replace(day=1), "provider": provider, "channel_id": 0,
                 "model": used.model}  # fmt: skip
        sums = {**facts, "charge_nanos": used.charge_nanos, "cost_nanos": cost_nanos}
        _add(CostDay, {"day": used.day, **where}, sums)
        noon = datetime.combine(used.day, time(12), timezone.now().tzinfo)
        upstream_model = "deepseek-flash" if provider == "deepseek" else used.model
        sums["metered"] = used.requests - used.errors
        _add(UpstreamHour, {"hour": noon, **where, "upstream_model": upstream_model}, sums)
        mine = {"day": used.day, "month": where["month"], "organization_id": organization.pk}
        named = ("requests", "errors", "charge_nanos", "cost_nanos")
        _add(OrganizationDay, mine, {name: sums[name] for name in named})


def _add(table: Any, where: dict[str, Any], sums: dict[str, int]) -> None:
    row, _ = table.objects.get_or_create(**where)
    for name, value in sums.items():
        setattr(row, name, getattr(row, name) + value)
    row.save()


def yesterday() -> date:
    return today() - timedelta(1)


def bill() -> UpstreamBill:
    """DeepSeek's for the days of use that have costs: one of them half as dear again, one not
    billed, one that nobody used."""
    used = UpstreamHour.objects.filter(provider="deepseek").order_by("hour")
    days: dict[date, list[UpstreamHour]] = {}
    for one in used:
        days.setdefault(one.hour.date(), []).append(one)
    rows = [_HEADER]
    for place, (at, hours) in enumerate(sorted(days.items())[:-3]):
        if place != 4:
            rows.append(_bill_row(at, hours, 150 if place == 9 else 100))
    rows.append(f"{min(days)},deepseek-pro,12,4000,0,900,3.25")
    data = ("\n".join(rows) + "\n").encode()
    return imports.run("deepseek", "usage_data_2026-11.csv", data, imports.Terms())[0]


_HEADER = "day,model,requests,input_tokens,cached_input_tokens,output_tokens,cost"


def _bill_row(at: date, hours: list[UpstreamHour], percent: int) -> str:
    def total(*names: str) -> int:
        return sum(getattr(one, name) for one in hours for name in names)

    cost = format_usd(total("cost_nanos") * percent // 100)
    counts = (total("metered"), total("input_tokens"), total("cached_input_tokens"),
              total("output_tokens", "reasoning_output_tokens"))  # fmt: skip
    return f"{at},deepseek-flash,{','.join(map(str, counts))},{cost}"
