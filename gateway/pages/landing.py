"""What the landing page shows: the catalog, a first request's receipt, and measured figures."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.measurements import Figures
from billing.models import Plan
from gateway.history import core_state
from gateway.pages import price_list
from gateway.pages.models import CATALOG_DAYS, recent
from gateway.pages.price_list import Listing

# What the shown request ("Say hello.") takes, and the answer to it.
_PROMPT_TOKENS, _ANSWER_TOKENS = 16, 4


@dataclass(frozen=True, slots=True)
class Line:
    """One class of tokens of a receipt; amounts in nanos."""

    label: str | Promise
    tokens: int
    rate_nanos: int

    @property
    def amount_nanos(self) -> int:
        """Rounded up, as a charge is."""
        return -(-self.tokens * self.rate_nanos // 1_000_000)


def context() -> dict[str, Any]:
    models = price_list.listings()
    names = [one.name for one in models]
    example = price_list.example_model(names)
    shown = next((one for one in models if one.name == example), None)
    return {
        "models": models,
        "plans": Plan.objects.filter(is_public=True),
        "example_model": example,
        "stand_ins": [one.name for one in models if one.is_stand_in],
        "receipt": _receipt(shown),
        "measured": _measured(recent(names)),
        "days": CATALOG_DAYS,
        "state": core_state(),
    }


def _receipt(model: Listing | None) -> dict[str, Any] | None:
    """What the request in the example would be charged; None where the model has no price."""
    first = model.first if model else None
    if first is None:
        return None
    lines = [
        Line(_("Input"), _PROMPT_TOKENS, first.input_nanos),
        Line(_("Output"), _ANSWER_TOKENS, first.output_nanos),
    ]
    nanos = sum(line.tokens * line.rate_nanos for line in lines)
    return {"lines": lines, "total_nanos": -(-nanos // 1_000_000)}


def _measured(figures: dict[str, Figures]) -> Figures:
    """All models together."""
    every = Figures()
    for one in figures.values():
        every.served += one.served
        every.failed += one.failed
        for measure, counts in one.buckets.items():
            for bucket, requests in counts.items():
                every.note(measure, bucket, requests)
    return every
