"""Prices as the database has them, in the form that pricing computes with."""

import logging
from collections.abc import Iterable

from billing.pricing import PriceVersion, Rate
from providers.models import Price, PriceRate

log = logging.getLogger(__name__)


def load() -> dict[int, list[PriceVersion]]:
    """Every price version by model id, oldest first. One without a rate for all times and prompts
    is left out: a request under it could not be priced."""
    out: dict[int, list[PriceVersion]] = {}
    for row in Price.objects.prefetch_related("rates").order_by("effective_at"):
        version = _version(row)
        if not any(rate.is_plain for rate in version.rates):
            log.error("price %s holds not always and for every prompt: left out", row.pk)
        else:
            out.setdefault(row.model_id, []).append(version)
    return out


def versions(ids: Iterable[int]) -> dict[int, PriceVersion]:
    """The versions with these ids, for recomputing charges."""
    rows = Price.objects.filter(pk__in=ids).prefetch_related("rates")
    return {row.pk: _version(row) for row in rows}


def _version(row: Price) -> PriceVersion:
    return PriceVersion(row.pk, row.effective_at, tuple(_rate(rate) for rate in row.rates.all()))


def _rate(row: PriceRate) -> Rate:
    return Rate(
        context_tokens_min=row.context_tokens_min,
        weekdays=row.weekdays,
        start_minute=row.start_minute,
        end_minute=row.end_minute,
        input_nanos=row.input_nanos,
        cached_input_nanos=row.cached_input_nanos,
        cache_write_nanos=row.cache_write_nanos,
        output_nanos=row.output_nanos,
        reasoning_output_nanos=row.reasoning_output_nanos,
    )
