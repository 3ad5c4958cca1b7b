"""What a new price would mean: for each organization, its last thirty days at both prices.

Reckoned from the sums per day, which know no hours and no prompt lengths: both prices are taken
at the rate that holds always and for every prompt. The organization's markup counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts import audit
from accounts.models import Organization
from billing import pricebook, pricing
from billing.models import Subscription, UsageDay
from billing.periods import today
from billing.pricing import PriceVersion, Rate
from providers.models import Model, Price, PriceRate
from providers.usage import TokenUsage

DAYS = 30
ROWS_MAX = 50
CLASSES = ("input", "cached_input", "cache_write", "output", "reasoning_output")
_ALWAYS = {"context_tokens_min": 0, "weekdays": 0, "start_minute": 0, "end_minute": 1440}


@dataclass(frozen=True, slots=True)
class Effect:
    """Nanos of thirty days: what they would cost at the price now, and at the new one."""

    organization: str
    organization_id: int
    before_nanos: int
    after_nanos: int

    @property
    def change_nanos(self) -> int:
        return self.after_nanos - self.before_nanos


@dataclass(frozen=True, slots=True)
class Preview:
    """The organizations it changes most, all of them together, and the rates side by side."""

    rates: list[tuple[str, int | None, int]]
    effects: list[Effect]
    organizations: int
    before_nanos: int
    after_nanos: int


def preview(model: Model, effective_at: datetime, rates: Iterable[dict[str, Any]]) -> Preview:
    """`rates` are the new version's, as their form has them; one of them holds always."""
    plain = next(one for one in rates if not one["context_tokens_min"] and not one["weekdays"])
    new = Rate(**_ALWAYS, **{f"{name}_nanos": plain.get(f"{name}_nanos") or 0 for name in CLASSES})
    old = _rate_at(model, effective_at)
    effects = _effects(model.name, old, new)
    effects.sort(key=lambda one: (-abs(one.change_nanos), one.organization))
    return Preview(
        rates=[
            (name, getattr(old, f"{name}_nanos") if old else None, getattr(new, f"{name}_nanos"))
            for name in CLASSES
        ],
        effects=effects[:ROWS_MAX],
        organizations=len(effects),
        before_nanos=sum(one.before_nanos for one in effects),
        after_nanos=sum(one.after_nanos for one in effects),
    )


class InForce(Exception):
    """The price holds already, or is gone: requests have been charged at it."""


def cancel(price: Price) -> None:
    """Take a price back whose date has not come. Raises `InForce`."""
    name = str(price)
    with transaction.atomic():
        ahead = Price.objects.filter(pk=price.pk, effective_at__gt=timezone.now())
        found = ahead.select_for_update(of=("self",)).first()
        if found is None:
            raise InForce(name)
        PriceRate.objects.filter(price=found).delete()
        found.delete()
        audit.record("price.canceled", None, name, kind="providers.price", id=str(price.pk))


def _rate_at(model: Model, at: datetime) -> Rate | None:
    """What would hold then without the new version."""
    row = Price.objects.filter(model=model, effective_at__lt=at).order_by("-effective_at").first()
    if row is None:
        return None
    version = pricebook.versions([row.pk])[row.pk]
    return next((rate for rate in version.rates if rate.is_plain), None)


def _effects(model: str, old: Rate | None, new: Rate) -> list[Effect]:
    tokens = [f"{name}_tokens" for name in CLASSES]
    days = UsageDay.objects.filter(model=model, day__gt=today() - timedelta(DAYS))
    used: list[Any] = list(
        days.order_by().values("organization_id").annotate(
            **{f"sum_{name}": Sum(name) for name in tokens}
        )
    )  # fmt: skip
    ids = [row["organization_id"] for row in used]
    names = Organization.objects.in_bulk(ids)
    markups = {
        one.organization_id: one.plan.markup_ppm if one.markup_ppm is None else one.markup_ppm
        for one in Subscription.objects.filter(organization__in=ids).select_related("plan")
    }
    found = []
    for row in used:
        pk = row["organization_id"]
        usage = TokenUsage(*(row[f"sum_{name}"] for name in tokens))
        markup = markups.get(pk, pricing.MARKUP_NONE_PPM)
        name = str(names.get(pk, f"organization {pk}"))
        found.append(Effect(name, pk, _cost(old, usage, markup), _cost(new, usage, markup)))
    return found


def _cost(rate: Rate | None, usage: TokenUsage, markup_ppm: int) -> int:
    if rate is None:
        return 0
    version = PriceVersion(0, timezone.now(), (rate,))
    return pricing.charge(version, timezone.now(), usage, markup_ppm)
