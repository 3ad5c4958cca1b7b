"""The catalog as one JSON document: written out, compared with what is there, and taken over.

Nothing is ever deleted, a price is added and never edited, and no credential is in the file. What
is new comes disabled: somebody gives it a credential, tries it and enables it.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from providers.models import Channel, Model, Price, PriceRate, Provider

BYTES_MAX = 1024 * 1024
ROWS_MAX = 2_000
FORMAT = 1
_NANOS = 10**9
_PROVIDER = ("name", "adapter")
_MODEL = ("owned_by", "description", "context_tokens", "output_tokens_max", "request_defaults",
          "reasoning", "capabilities", "aliases", "replacement", "position")  # fmt: skip
_CHANNEL = ("base_url", "upstream_model", "priority", "weight")
_WHEN = ("context_tokens_min", "weekdays", "start_minute", "end_minute")
_CLASSES = ("input", "cached_input", "cache_write", "output", "reasoning_output")


class NotACatalog(Exception):
    """The text is not such a document; the message says where."""


@dataclass(slots=True)
class Change:
    """One row to make or to change: `fields` by name, [before, after]."""

    kind: str
    name: str
    row: Any
    fields: dict[str, list[Any]] = field(default_factory=dict)
    rates: list[dict[str, int]] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        return self.row.pk is None


# --- out ----------------------------------------------------------------------------------------


def write() -> str:
    """Everything an operator has set up but the credentials; prices as they are in force now."""
    models = Model.objects.prefetch_related("channels__provider", "prices__rates")
    facts = {
        "format": FORMAT,
        "providers": [
            {"slug": one.slug, **_read(one, _PROVIDER)} for one in Provider.objects.order_by("slug")
        ],
        "models": [_model(one) for one in models],
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _model(model: Model) -> dict[str, Any]:
    price = _in_force(model)
    return {
        "name": model.name,
        **_read(model, _MODEL),
        "price": {"note": price.note, "rates": _rates(price)} if price else None,
        "channels": [
            {"provider": one.provider.slug, "name": one.name, **_read(one, _CHANNEL)}
            for one in model.channels.all()
            if not one.is_local_stand_in
        ],
    }


def _read(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _in_force(model: Model) -> Price | None:
    now = timezone.now()
    held = [one for one in model.prices.all() if one.effective_at <= now]
    return max(held, key=lambda one: one.effective_at, default=None)


def _rates(price: Price) -> list[dict[str, Any]]:
    return [
        {
            **_read(rate, _WHEN),
            **{f"{name}_usd": _usd(getattr(rate, f"{name}_nanos")) for name in _CLASSES},
        }
        for rate in price.rates.all()
    ]


def _usd(nanos: int) -> str:
    return f"{(Decimal(nanos) / _NANOS).normalize():f}"


# --- in -----------------------------------------------------------------------------------------


def compare(text: str) -> list[Change]:
    """What taking the document over would do; nothing is done. Raises `NotACatalog`."""
    facts = _parse(text)
    providers = {one.slug: one for one in Provider.objects.all()}
    models = {
        one.name: one
        for one in Model.objects.prefetch_related("channels__provider", "prices__rates")
    }
    found: list[Change] = []
    for entry in _list(facts, "providers"):
        slug = _text(entry, "slug")
        row = providers.setdefault(slug, Provider(slug=slug))
        found += _compared("provider", slug, row, entry, _PROVIDER)
    for entry in _list(facts, "models"):
        found += _compare_model(entry, models, providers)
    if len(found) > ROWS_MAX:
        raise NotACatalog(_("More than %s rows at once.") % ROWS_MAX)
    return found


def _compare_model(
    entry: dict[str, Any], models: dict[str, Model], providers: dict[str, Provider]
) -> list[Change]:
    name = _text(entry, "name")
    model = models.get(name) or Model(name=name, is_enabled=False)
    found = _compared("model", name, model, entry, _MODEL)
    if entry.get("price"):
        found += _compare_price(name, model, entry["price"])
    for part in _list(entry, "channels"):
        slug = _text(part, "provider")
        if slug not in providers:
            raise NotACatalog(_("%(model)s: there is no provider %(slug)s.")
                              % {"model": name, "slug": slug})  # fmt: skip
        wanted = str(part.get("name", ""))
        own = model.channels.all() if model.pk else []
        row = next((one for one in own if (one.provider.slug, one.name) == (slug, wanted)), None)
        row = row or Channel(provider=providers[slug], model=model, name=wanted, is_enabled=False)
        found += _compared("channel", f"{name} · {slug} · {wanted}", row, part, _CHANNEL)
    return found


def _compare_price(name: str, model: Model, entry: Any) -> list[Change]:
    if not isinstance(entry, dict):
        raise NotACatalog(_("%s: a price is an object with rates.") % name)
    rates = [_rate(name, one) for one in _list(entry, "rates")]
    if not any(not one["context_tokens_min"] and not one["weekdays"] for one in rates):
        raise NotACatalog(_("%s: one rate must hold always and for every prompt.") % name)
    at = _moment(name, entry.get("effective_at"))
    now = _in_force(model) if model.pk else None
    names = (*_WHEN, *(f"{one}_nanos" for one in _CLASSES))
    before = [_read(one, names) for one in now.rates.all()] if now else []
    if at <= timezone.now() and _sorted(before) == _sorted(rates):
        return []
    if model.pk and model.prices.filter(effective_at=at).exists():
        return []
    row = Price(model=model, effective_at=at, note=str(entry.get("note", ""))[:200])
    shown = {
        f"{one}_usd": [_plain(before, one), _plain(rates, one)] for one in _CLASSES
    }  # of the rate that holds always
    return [Change("price", f"{name} · {at:%Y-%m-%d %H:%M} UTC", row, shown, rates)]


def _plain(rates: list[dict[str, int]], name: str) -> str | None:
    for one in rates:
        if not one["context_tokens_min"] and not one["weekdays"]:
            return _usd(one[f"{name}_nanos"])
    return None


def _sorted(rates: list[dict[str, int]]) -> list[dict[str, int]]:
    return sorted(rates, key=lambda one: [one[name] for name in sorted(one)])


def _rate(name: str, entry: Any) -> dict[str, int]:
    defaults = {"context_tokens_min": 0, "weekdays": 0, "start_minute": 0, "end_minute": 1440}
    try:
        when = {one: int(entry.get(one, default)) for one, default in defaults.items()}
        costs = {one: Decimal(str(entry[f"{one}_usd"])) * _NANOS for one in _CLASSES}
    except (AttributeError, KeyError, TypeError, ValueError, InvalidOperation):
        raise NotACatalog(_("%s: a rate is not complete.") % name) from None
    if any(not one.is_finite() or one < 0 or one != int(one) for one in costs.values()):
        raise NotACatalog(_("%s: an amount is not one in USD.") % name)
    return when | {f"{one}_nanos": int(amount) for one, amount in costs.items()}


def _moment(name: str, text: Any) -> datetime:
    """Now, or a day to come: what was charged stays charged."""
    at = parse_datetime(str(text)) if text else timezone.now()
    if at is None or timezone.is_naive(at):
        raise NotACatalog(_("%s: a date is written like 2026-01-31T00:00:00Z.") % name)
    return max(at, timezone.now().replace(microsecond=0))


def _compared(
    kind: str, name: str, row: Any, entry: dict[str, Any], names: tuple[str, ...]
) -> list[Change]:
    """The row with the document's values, where they differ; checked as a form would."""
    change = Change(kind, name, row)
    for one in names:
        if one in entry and (row.pk is None or getattr(row, one) != entry[one]):
            change.fields[one] = [None if row.pk is None else getattr(row, one), entry[one]]
            setattr(row, one, entry[one])
    if not change.fields and row.pk is not None:
        return []
    try:
        row.clean_fields(exclude=["model", "provider", "credential"])
    except ValidationError as error:
        said = "; ".join(f"{one}: {' '.join(said)}" for one, said in error.message_dict.items())
        raise NotACatalog(f"{name}: {said}") from None
    return [change]


def apply(changes: list[Change]) -> None:
    """All of them or none. Rows that others refer to come first, as `compare` gives them."""
    with transaction.atomic():
        for change in changes:
            row = change.row
            if isinstance(row, Price | Channel):
                row.model = row.model  # its number, now that the model is stored
            if isinstance(row, Channel):
                row.provider = row.provider
            row.save()
            PriceRate.objects.bulk_create(PriceRate(price=row, **one) for one in change.rates)


def _parse(text: str) -> dict[str, Any]:
    if len(text.encode()) > BYTES_MAX:
        raise NotACatalog(_("It is larger than a megabyte."))
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise NotACatalog(_("It is not JSON: %s") % error) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise NotACatalog(_("It is no catalog of this format: “format” is not 1."))
    return facts


def _list(facts: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = facts.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise NotACatalog(_("“%s” is not a list of objects.") % name)
    return found


def _text(facts: dict[str, Any], name: str) -> str:
    found = facts.get(name)
    if not isinstance(found, str) or not found.strip():
        raise NotACatalog(_("“%s” is missing.") % name)
    return found.strip()
