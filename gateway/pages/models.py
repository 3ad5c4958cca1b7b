"""/models: what can be asked for, what it costs, and how it has served lately."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing import measurements
from billing.measurements import Figures
from billing.templatetags.figures import milliseconds
from gateway.pages import price_list, sparks
from gateway.pages.price_list import Listing
from providers.models import Capability

CATALOG_DAYS = 7
CHART_DAYS = 30
# The catalog is public and its figures move slowly: they are read at most once a minute.
_CACHED_SECONDS = 60
_QUERY_CHARACTERS_MAX = 100
REASONING = "reasoning"
# Percent of requests: above, and between, the colours of gateway/_answered.html.
ANSWERED_GOOD, ANSWERED_FAIR = 99, 95
_UNKNOWN = float("inf")


@dataclass(frozen=True, slots=True)
class Row:
    """One model of the list, with what was measured of it."""

    listing: Listing
    figures: Figures


def _price(row: Row) -> float:
    first = row.listing.first
    return first.input_nanos + first.output_nanos if first else _UNKNOWN


_Sort = tuple[str | Promise, Callable[[Row], float]]
SORTS: dict[str, _Sort] = {
    "": (_("Recommended"), lambda row: 0),
    "price": (_("Price"), _price),
    "context": (_("Context"), lambda row: -row.listing.context_tokens),
    "speed": (_("Speed"), lambda row: -(row.figures.tokens_per_second or 0)),
    "first-token": (_("First token"), lambda row: row.figures.first_token_ms or _UNKNOWN),
}


@require_safe
def catalog(request: HttpRequest) -> HttpResponse:
    """Filtered by `q`, `can` (a capability) and `by` (who made it), ordered by `sort`."""
    models = price_list.listings()
    query = request.GET.get("q", "").strip()[:_QUERY_CHARACTERS_MAX]
    can, by, sort = (request.GET.get(name, "") for name in ("can", "by", "sort"))
    sort = sort if sort in SORTS else ""
    found = [one for one in models if _matches(one, query.casefold(), can, by)]
    figures = recent([one.name for one in models])
    rows = [Row(one, figures.get(one.name, Figures())) for one in found]
    rows.sort(key=SORTS[sort][1])
    context = {
        "rows": rows,
        "query": query,
        "can": can,
        "by": by,
        "sort": sort,
        "capabilities": _capabilities(models),
        "makers": sorted({one.owned_by for one in models}),
        "sorts": [(key, label) for key, (label, _key) in SORTS.items()],
        "is_filtered": bool(query or can or by),
        "stand_ins": [one.name for one in models if one.is_stand_in],
        "days": CATALOG_DAYS,
    }
    return render(request, "gateway/models.html", context)


@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One model. Its other names lead here."""
    models = price_list.listings()
    found = next((one for one in models if one.name == name), None)
    if found is None:
        named = next((one for one in models if name in one.aliases), None)
        if named is None:
            raise Http404(name)
        return redirect("model", name=named.name)
    days = measurements.daily(name, days=CHART_DAYS)
    context = {
        "model": found,
        "figures": recent([name]).get(name, Figures()),
        "charts": _charts(days),
        "measured": [(day, one) for day, one in reversed(days.items()) if one.requests],
        "example_model": name,
        "days": CATALOG_DAYS,
        "chart_days": CHART_DAYS,
        "stand_ins": [name] if found.is_stand_in else [],
        "replacement": next((one for one in models if one.name == found.replacement), None),
    }
    return render(request, "gateway/model.html", context)


def _matches(model: Listing, query: str, can: str, by: str) -> bool:
    text = " ".join((model.name, model.owned_by, model.description, *model.aliases)).casefold()
    is_able = not can or can in model.capabilities or (can == REASONING and model.may_think)
    return is_able and (not by or model.owned_by == by) and all(w in text for w in query.split())


def _capabilities(models: list[Listing]) -> list[tuple[str, str | Promise]]:
    """Those that some model has. Thinking always and thinking when asked are one filter."""
    offered = {one for model in models for one in model.capabilities}
    listed: list[tuple[str, str | Promise]] = [
        (one.value, one.label)
        for one in Capability
        if one is not Capability.THINKING and one.value in offered
    ]
    thinks = any(model.may_think for model in models)
    return ([(REASONING, _("Reasoning"))] if thinks else []) + listed


def recent(names: list[str]) -> dict[str, Figures]:
    """What was measured of each lately, as of at most a minute ago."""
    digest = hashlib.sha256("\0".join(sorted(names)).encode()).hexdigest()[:32]
    key = f"models-{CATALOG_DAYS}-{digest}"
    with suppress(redis.RedisError):  # a cache that is away is no reason for no page
        found: dict[str, Figures] | None = cache.get(key)
        if found is not None:
            return found
    fresh = measurements.recent(names, days=CATALOG_DAYS)
    with suppress(redis.RedisError):
        cache.set(key, fresh, _CACHED_SECONDS)
    return fresh


def _charts(days: dict[Any, Figures]) -> list[tuple[str | Promise, sparks.Spark]]:
    """Titles, and the charts."""
    first = {day: one.first_token_ms for day, one in days.items()}
    speeds = {day: one.tokens_per_second for day, one in days.items()}
    answered = {day: one.uptime_percent for day, one in days.items()}
    return [
        (
            _("Time to first token, median"),
            sparks.draw(first, lambda value: milliseconds(round(value)), lambda _value: "c1"),
        ),
        (
            _("Speed, median"),
            sparks.draw(speeds, lambda value: f"{value:.0f} tokens/s", lambda _value: "c2"),
        ),
        (
            _("Answered requests"),
            sparks.draw(answered, lambda value: f"{value:.2f} %", _answered_colour),
        ),
    ]


def _answered_colour(percent: float) -> str:
    if percent >= ANSWERED_GOOD:
        return "spark-good"
    return "spark-fair" if percent >= ANSWERED_FAIR else "spark-poor"
