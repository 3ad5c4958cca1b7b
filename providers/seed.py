"""The catalog a new installation starts with, and the channels its environment asks for.

Everything here makes what is missing and leaves what an operator has changed. A price is never
edited: a new list price is a new entry with a later date. The figures are the seeds' own, taken
from the makers' public lists; an operator corrects them in the admin.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop as _

from providers.models import (
    Adapter,
    Capability,
    Channel,
    Model,
    Price,
    PriceRate,
    Provider,
    UpstreamPrice,
    UpstreamRate,
)

PRICED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_MONDAY_TO_FRIDAY = 0b0011111
# DeepSeek's peak hours, 01:00-04:00 and 06:00-10:00 UTC, in minutes of the day.
_PEAK_WINDOWS = ((60, 240), (360, 600))


def _nanos(usd: str) -> int:
    return int(Decimal(usd) * 1_000_000_000)


def _rate(
    input_usd: str, cached_usd: str, output_usd: str, reasoning_usd: str | None = None, **when: int
) -> dict[str, int]:
    """A rate from USD per million tokens. Writing to a cache costs what reading afresh does."""
    return {
        "input_nanos": _nanos(input_usd),
        "cached_input_nanos": _nanos(cached_usd),
        "cache_write_nanos": _nanos(input_usd),
        "output_nanos": _nanos(output_usd),
        "reasoning_output_nanos": _nanos(reasoning_usd or output_usd),
        **when,
    }


_DEEPSEEK_RATES = (
    _rate("0.15", "0.003", "0.60"),
    *(
        _rate(
            "0.30",
            "0.006",
            "1.20",
            weekdays=_MONDAY_TO_FRIDAY,
            start_minute=start,
            end_minute=end,
        )
        for start, end in _PEAK_WINDOWS
    ),
)

PROVIDERS = {
    "alibaba": ("Alibaba Cloud", Adapter.DASHSCOPE),
    "deepseek": ("DeepSeek", Adapter.DEEPSEEK),
}


@dataclass(frozen=True, slots=True)
class ModelSeed:
    """One public name: what it can do, and its price per million tokens."""

    name: str
    owned_by: str
    description: str
    context_tokens: int
    output_tokens_max: int
    rates: tuple[dict[str, int], ...]
    position: int
    reasoning: bool = False
    capabilities: tuple[Capability, ...] = (Capability.TOOLS, Capability.JSON)
    request_defaults: dict[str, Any] = field(default_factory=dict)


MODELS = (
    ModelSeed(
        "qwen-turbo",
        "qwen",
        _("Fast and cheap, for short tasks in volume."),
        1_000_000,
        16_384,
        (_rate("0.05", "0.01", "0.20", "0.50"),),
        10,
        capabilities=(Capability.THINKING, Capability.TOOLS, Capability.JSON),
    ),
    ModelSeed(
        "qwen-plus",
        "qwen",
        _("Balanced quality, speed and price."),
        1_000_000,
        32_768,
        (_rate("0.40", "0.08", "1.20", "4.00"),),
        20,
        capabilities=(Capability.THINKING, Capability.TOOLS, Capability.JSON),
    ),
    ModelSeed(
        "qwen-max",
        "qwen",
        _("Qwen's strongest model, for hard problems."),
        32_768,
        8_192,
        (_rate("1.60", "0.32", "6.40"),),
        30,
    ),
    ModelSeed(
        "deepseek-chat",
        "deepseek",
        _("DeepSeek answering at once, without thinking first."),
        131_072,
        8_192,
        _DEEPSEEK_RATES,
        40,
        request_defaults={"thinking": {"type": "disabled"}},
    ),
    ModelSeed(
        "deepseek-reasoner",
        "deepseek",
        _("DeepSeek thinking before it answers."),
        131_072,
        65_536,
        _DEEPSEEK_RATES,
        50,
        reasoning=True,
        request_defaults={"thinking": {"type": "enabled"}},
    ),
)

LOCAL_PROVIDER = ("local", "Local model", Adapter.OPENAI)
LOCAL_MODEL = ModelSeed(
    "smollm2-135m",
    "local",
    _("A very small model on this machine, for trying things out."),
    2_048,
    1_024,
    (_rate("0.01", "0.01", "0.02"),),
    90,
    capabilities=(),
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider's credential as the environment names it, and the models it opens."""

    provider: str
    credential_variable: str
    base_url_variable: str
    base_url: str
    # Public name -> the upstream's own name for it.
    models: Mapping[str, str]


UPSTREAMS = (
    Upstream(
        "alibaba",
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_BASE_URL",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        {name: name for name in ("qwen-turbo", "qwen-plus", "qwen-max")},
    ),
    Upstream(
        "deepseek",
        "DEEPSEEK_API_KEY",
        "DEEPSEEK_BASE_URL",
        "https://api.deepseek.com",
        {"deepseek-chat": "deepseek-flash", "deepseek-reasoner": "deepseek-flash"},
    ),
)


def plant(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Make what is missing, in one transaction; returns what was done, one line each.

    A second run with the same environment and settings returns an empty list.
    """
    done: list[str] = []
    with transaction.atomic():
        for slug, (name, adapter) in PROVIDERS.items():
            _plant_provider(slug, name, adapter, done)
        for seed in MODELS:
            _plant_model(seed, done)
        for upstream in UPSTREAMS:
            _plant_costs(upstream, done)
            _open_upstream(upstream, environment, done)
        _arrange_local_model(done)
        arrange_stand_ins(done)
    return done


def arrange_stand_ins(done: list[str] | None = None) -> None:
    """Have the local model answer for exactly those catalog models nobody else can.

    Only where the settings allow it; a stand-in goes as soon as its model has a live upstream.
    """
    done = [] if done is None else done
    for model in Model.objects.filter(name__in=[seed.name for seed in MODELS]):
        channels = Channel.objects.filter(model=model)
        is_served = channels.filter(is_local_stand_in=False, is_enabled=True).exists()
        if settings.LOCAL_FALLBACK and settings.LOCAL_MODEL_URL and not is_served:
            _point_local(model, is_stand_in=True, done=done)
        elif channels.filter(is_local_stand_in=True).delete()[0]:
            done.append(f"channel {model.name}: local stand-in removed")


def _plant_provider(slug: str, name: str, adapter: Adapter, done: list[str]) -> Provider:
    provider, is_new = Provider.objects.get_or_create(
        slug=slug, defaults={"name": name, "adapter": adapter}
    )
    if is_new:
        done.append(f"provider {slug}: made")
    return provider


def _plant_model(seed: ModelSeed, done: list[str]) -> Model:
    model, is_new = Model.objects.get_or_create(
        name=seed.name,
        defaults={
            "owned_by": seed.owned_by,
            "description": seed.description,
            "context_tokens": seed.context_tokens,
            "output_tokens_max": seed.output_tokens_max,
            "position": seed.position,
            "reasoning": seed.reasoning,
            "capabilities": list(seed.capabilities),
            "request_defaults": seed.request_defaults,
        },
    )
    if is_new:
        done.append(f"model {seed.name}: made")
    price, is_new = Price.objects.get_or_create(
        model=model, effective_at=PRICED_AT, defaults={"note": "List price, USD per million tokens"}
    )
    if is_new:
        PriceRate.objects.bulk_create(PriceRate(price=price, **rate) for rate in seed.rates)
        done.append(f"price {seed.name}: made, from {PRICED_AT:%Y-%m-%d}")
    return model


def _plant_costs(upstream: Upstream, done: list[str]) -> None:
    """What a provider charges us, until an operator knows better: its public list price."""
    rates = {seed.name: seed.rates for seed in MODELS}
    for name in upstream.models:
        _plant_cost(upstream.provider, name, rates[name], "List price", done)


def _plant_cost(
    provider: str, model: str, rates: tuple[dict[str, int], ...], note: str, done: list[str]
) -> None:
    price, is_new = UpstreamPrice.objects.get_or_create(
        provider=provider,
        model=model,
        channel_id=None,
        effective_at=PRICED_AT,
        defaults={"note": note},
    )
    if is_new:
        UpstreamRate.objects.bulk_create(UpstreamRate(price=price, **rate) for rate in rates)
        done.append(f"cost {model} at {provider}: made, from {PRICED_AT:%Y-%m-%d}")


def _open_upstream(upstream: Upstream, environment: Mapping[str, str], done: list[str]) -> None:
    """A channel per model while the credential is given. One that is there already takes a new
    credential, and a base URL where the environment names one; without a credential it stays."""
    credential = environment.get(upstream.credential_variable, "").strip()
    if not credential:
        return
    chosen_url = environment.get(upstream.base_url_variable, "").strip()
    wanted = {"credential": credential} | ({"base_url": chosen_url} if chosen_url else {})
    provider = Provider.objects.get(slug=upstream.provider)
    for name, upstream_model in upstream.models.items():
        channel, is_new = Channel.objects.get_or_create(
            provider=provider,
            model=Model.objects.get(name=name),
            name=upstream.credential_variable,
            defaults={"base_url": upstream.base_url, "upstream_model": upstream_model, **wanted},
        )
        if is_new:
            done.append(f"channel {name}: made, {channel.base_url}")
        else:
            _update_channel(channel, wanted, done)


def _arrange_local_model(done: list[str]) -> None:
    """The local server's own model, for as long as there is such a server."""
    if settings.LOCAL_MODEL_URL:
        _point_local(_plant_model(LOCAL_MODEL, done), is_stand_in=False, done=done)
    elif Channel.objects.filter(
        provider__slug=LOCAL_PROVIDER[0], model__name=LOCAL_MODEL.name
    ).delete()[0]:
        done.append(f"channel {LOCAL_MODEL.name}: removed, there is no local server")


def _point_local(model: Model, *, is_stand_in: bool, done: list[str]) -> None:
    """A channel to the local server; its port differs from run to run. Its tokens cost nothing."""
    _plant_cost(LOCAL_PROVIDER[0], model.name, (_rate("0", "0", "0"),), "On this machine", done)
    channel, is_new = Channel.objects.get_or_create(
        provider=_plant_provider(*LOCAL_PROVIDER, done),
        model=model,
        is_local_stand_in=is_stand_in,
        defaults={
            "name": "local stand-in" if is_stand_in else "local",
            "base_url": settings.LOCAL_MODEL_URL,
            "upstream_model": LOCAL_MODEL.name,
        },
    )
    if is_new:
        done.append(f"channel {model.name}: {channel.name} made, {channel.base_url}")
    else:
        _update_channel(channel, {"base_url": settings.LOCAL_MODEL_URL}, done)


def _update_channel(channel: Channel, wanted: Mapping[str, str], done: list[str]) -> None:
    changed = [name for name, value in wanted.items() if getattr(channel, name) != value]
    if not changed:
        return
    for name in changed:
        setattr(channel, name, wanted[name])
    channel.save(update_fields=changed)
    done.append(f"channel {channel.model.name}: {' and '.join(changed)} updated")
