"""The catalog as a snapshot: what the gateway reads for every request, with no query."""

import logging
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from providers.adapters import DIALECTS, Dialect
from providers.http1 import Target
from providers.models import Channel, Model

log = logging.getLogger(__name__)


class ModelNotFound(Exception):
    """No enabled model has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


COOLDOWN_SECONDS_MAX = 30.0


@dataclass(slots=True)
class ChannelHealth:
    """What this process has lately seen of one channel. Failures in a row double the cooldown."""

    failures: int = 0
    cools_until: float = 0.0
    # Since this process knows the channel: how often it was tried, and what it failed of.
    attempts: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def fail(self, kind: str = "stream_died") -> None:
        self.failures += 1
        self.failed[kind] += 1
        seconds = min(0.5 * 2 ** min(self.failures, 10), COOLDOWN_SECONDS_MAX)
        self.cools_until = time.monotonic() + seconds

    def succeed(self) -> None:
        self.failures, self.cools_until = 0, 0.0


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One way to reach a model."""

    id: int
    provider: str
    dialect: Dialect
    target: Target = field(repr=False)  # chat completions, with the credential in its head
    upstream_model: str
    credential: str = field(repr=False)
    priority: int
    weight: int
    is_local_stand_in: bool
    health: ChannelHealth = field(compare=False)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One public model with its enabled channels."""

    id: int
    name: str
    owned_by: str
    created: int
    context_tokens: int
    output_tokens_max: int
    request_defaults: dict[str, Any]
    reasoning: bool
    channels: tuple[ChannelFacts, ...]

    def ordered_channels(self) -> list[ChannelFacts]:
        """Each channel once, in the order to try: cooling ones last, then by priority, then at
        random by weight."""
        if len(self.channels) < 2:
            return list(self.channels)
        now = time.monotonic()
        return sorted(
            self.channels,
            key=lambda channel: (
                channel.health.cools_until > now,
                channel.priority,
                random.expovariate(channel.weight),
            ),
        )


@dataclass(frozen=True, slots=True)
class Catalog:
    models: dict[str, ModelFacts]
    # Other names, and which of `models` each stands for.
    aliases: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> ModelFacts:
        """The model of this name, or of this other name. Raises `ModelNotFound`."""
        found = self.models.get(name) or self.models.get(self.aliases.get(name, ""))
        if found is None:
            raise ModelNotFound(name)
        return found


def load(previous: Catalog | None = None) -> Catalog:
    """Read the enabled models and channels. Health seen so far goes over from `previous`."""
    health = {
        channel.id: channel.health
        for model in (previous.models.values() if previous else ())
        for channel in model.channels
    }
    rows = Channel.objects.filter(is_enabled=True).select_related("provider")
    channels: dict[int, list[ChannelFacts]] = {}
    for row in rows.order_by("priority", "id"):
        try:
            facts = channel_facts(row, health.get(row.pk))
        except ValueError as error:
            log.error("channel %s is left out: %s", row.pk, error)
        else:
            channels.setdefault(row.model_id, []).append(facts)
    models = list(Model.objects.filter(is_enabled=True))
    return Catalog(
        {
            model.name: ModelFacts(
                id=model.pk,
                name=model.name,
                owned_by=model.owned_by,
                created=int(model.created_at.timestamp()),
                context_tokens=model.context_tokens,
                output_tokens_max=model.output_tokens_max,
                request_defaults=model.request_defaults,
                reasoning=model.reasoning,
                channels=tuple(channels.get(model.pk, ())),
            )
            for model in models
        },
        {alias: model.name for model in models for alias in model.aliases},
    )


def _headers(row: Channel) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "ttonkapi",
    }
    if row.credential:
        headers["Authorization"] = "Bearer " + row.credential
    return headers


def channel_facts(row: Channel, health: ChannelHealth | None = None) -> ChannelFacts:
    """How to reach the channel. Raises ValueError for an address that is none."""
    return ChannelFacts(
        id=row.pk,
        provider=row.provider.slug,
        dialect=DIALECTS[row.provider.adapter],
        target=Target.of(row.base_url.rstrip("/") + "/chat/completions", _headers(row)),
        upstream_model=row.upstream_model,
        credential=row.credential,
        priority=row.priority,
        weight=row.weight,
        is_local_stand_in=row.is_local_stand_in,
        health=health or ChannelHealth(),
    )
