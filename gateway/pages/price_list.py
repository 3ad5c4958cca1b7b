"""The catalog as customers read it: models, what they cost now, and who answers today."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers.models import Capability, Channel, Model, Price, PriceRate

_DAY_NAMES = (
    gettext_lazy("Mon"), gettext_lazy("Tue"), gettext_lazy("Wed"), gettext_lazy("Thu"),
    gettext_lazy("Fri"), gettext_lazy("Sat"), gettext_lazy("Sun"),
)  # fmt: skip
_WORKDAYS = 0b0011111
_PREFERRED_EXAMPLE = "qwen-turbo"
_PARAMETERS = (
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed",
    "presence_penalty", "frequency_penalty", "stream", "stream_options",
)  # fmt: skip
_PARAMETERS_BY_CAPABILITY: dict[str, tuple[str, ...]] = {
    Capability.TOOLS: ("tools", "tool_choice", "parallel_tool_calls"),
    Capability.JSON: ("response_format",),
}


@dataclass(frozen=True, slots=True)
class Tariff:
    """Nanos per million tokens; `when` is empty for the price that holds at other times."""

    when: str
    input_nanos: int
    cached_input_nanos: int
    output_nanos: int
    reasoning_output_nanos: int


@dataclass(frozen=True, slots=True)
class Listing:
    name: str
    owned_by: str
    description: str
    context_tokens: int
    output_tokens_max: int
    reasoning: bool
    capabilities: tuple[str, ...]
    aliases: tuple[str, ...]
    deprecated_at: datetime | None
    retires_at: datetime | None
    replacement: str
    # Since when the price shown holds; None where there is none.
    priced_at: datetime | None
    tariffs: tuple[Tariff, ...]
    is_stand_in: bool

    @property
    def first(self) -> Tariff | None:
        return self.tariffs[0] if self.tariffs else None

    @property
    def others(self) -> tuple[Tariff, ...]:
        return self.tariffs[1:]

    @property
    def has_thinking_price(self) -> bool:
        """Whether reasoning costs other than the answer's own tokens."""
        return any(one.reasoning_output_nanos != one.output_nanos for one in self.tariffs)

    @property
    def may_think(self) -> bool:
        return self.reasoning or Capability.THINKING in self.capabilities

    @property
    def badges(self) -> list[str]:
        """What it can do, in words."""
        thinks = [_("Reasoning")] if self.reasoning else []
        return thinks + [str(Capability(one).label) for one in self.capabilities]

    @property
    def parameters(self) -> list[str]:
        """The request's fields that it heeds, beside `model` and `messages`."""
        more = [
            name for one in self.capabilities for name in _PARAMETERS_BY_CAPABILITY.get(one, ())
        ]
        return [*_PARAMETERS, *(["reasoning_effort"] if self.may_think else []), *more]


def listings() -> list[Listing]:
    """Every enabled model in the catalog's order, at the price in effect."""
    models = Model.objects.filter(is_enabled=True).prefetch_related(
        Prefetch(
            "prices",
            Price.objects.filter(effective_at__lte=timezone.now())
            .order_by("-effective_at")
            .prefetch_related("rates"),
        ),
        Prefetch("channels", Channel.objects.filter(is_enabled=True).order_by("priority")),
    )
    return [_listing(model) for model in models]


def names() -> list[str]:
    return list(Model.objects.filter(is_enabled=True).values_list("name", flat=True))


def example_model(names: list[str]) -> str:
    """The model the examples call: cheap and quick where there is a choice."""
    if _PREFERRED_EXAMPLE in names or not names:
        return _PREFERRED_EXAMPLE
    return names[0]


def _listing(model: Model) -> Listing:
    price = next(iter(model.prices.all()), None)
    rates = list(price.rates.all()) if price else []
    first = next(iter(model.channels.all()), None)
    return Listing(
        name=model.name,
        owned_by=model.owned_by,
        description=model.description,
        context_tokens=model.context_tokens,
        output_tokens_max=model.output_tokens_max,
        reasoning=model.reasoning,
        capabilities=tuple(one for one in Capability.values if one in model.capabilities),
        aliases=tuple(model.aliases),
        deprecated_at=model.deprecated_at,
        retires_at=model.retires_at,
        replacement=model.replacement,
        priced_at=price.effective_at if price else None,
        tariffs=_tariffs(rates),
        is_stand_in=bool(first and first.is_local_stand_in),
    )


def _tariffs(rates: list[PriceRate]) -> tuple[Tariff, ...]:
    """Windows of the same price become one line with all their hours."""
    grouped: dict[tuple[int, ...], list[PriceRate]] = {}
    for rate in sorted(rates, key=lambda one: (one.context_tokens_min, bool(one.weekdays))):
        price = (
            rate.context_tokens_min,
            rate.input_nanos,
            rate.cached_input_nanos,
            rate.output_nanos,
            rate.reasoning_output_nanos,
        )
        grouped.setdefault(price, []).append(rate)
    return tuple(Tariff(_when(same), *price[1:]) for price, same in grouped.items())


def _when(rates: list[PriceRate]) -> str:
    parts = []
    if rates[0].context_tokens_min:
        parts.append(
            _("prompts of %(n)s tokens and more") % {"n": f"{rates[0].context_tokens_min:,}"}
        )
    windows = [rate for rate in rates if rate.weekdays]
    if windows:
        hours = ", ".join(
            f"{_clock(one.start_minute)}–{_clock(one.end_minute)}"
            for one in sorted(windows, key=lambda one: one.start_minute)
        )
        parts.append(f"{_days(windows[0].weekdays)} {hours} UTC")
    return "; ".join(parts)


def _days(weekdays: int) -> str:
    if weekdays == _WORKDAYS:
        return _("Mon–Fri")
    return ", ".join(str(name) for bit, name in enumerate(_DAY_NAMES) if weekdays >> bit & 1)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
