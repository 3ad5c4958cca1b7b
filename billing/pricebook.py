"""Prices as the database has them, in the form that pricing computes with."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.pricing import PriceVersion, Rate
from providers.models import Price, TokenRates, UpstreamPrice

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


@dataclass(frozen=True, slots=True)
class Costs:
    """What upstreams charge, version by version: of a provider's model, and of single channels."""

    of_models: Mapping[tuple[str, str], tuple[PriceVersion, ...]]
    of_channels: Mapping[tuple[str, str, int], tuple[PriceVersion, ...]]

    def at(self, provider: str, model: str, channel_id: int, at: datetime) -> PriceVersion | None:
        """What held then; the channel's own version before its provider's. None: not known."""
        own = self.of_channels.get((provider, model, channel_id), ())
        return _latest(own, at) or _latest(self.of_models.get((provider, model), ()), at)


def costs() -> Costs:
    """Every version of what upstreams charge."""
    of_models: dict[tuple[str, str], list[PriceVersion]] = {}
    of_channels: dict[tuple[str, str, int], list[PriceVersion]] = {}
    for row in UpstreamPrice.objects.prefetch_related("rates").order_by("effective_at"):
        if row.channel_id is None:
            of_models.setdefault((row.provider, row.model), []).append(_version(row))
        else:
            key = (row.provider, row.model, row.channel_id)
            of_channels.setdefault(key, []).append(_version(row))
    return Costs(
        {key: tuple(found) for key, found in of_models.items()},
        {key: tuple(found) for key, found in of_channels.items()},
    )


def _latest(versions: tuple[PriceVersion, ...], at: datetime) -> PriceVersion | None:
    """The last that has begun, of versions in the order of their dates."""
    for version in reversed(versions):
        if version.effective_at <= at:
            return version
    return None


def _version(row: Price | UpstreamPrice) -> PriceVersion:
    return PriceVersion(row.pk, row.effective_at, tuple(_rate(rate) for rate in row.rates.all()))


def _rate(row: TokenRates) -> Rate:
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
