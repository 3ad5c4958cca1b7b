"""`manage.py add_channel MODEL --base-url … --upstream-model …`: one more way to serve a model."""

import os
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from billing.management import operator
from providers import seed
from providers.models import Adapter, Channel, Model, Provider

_CUSTOM = "custom"


class Command(operator.OperatorCommand):
    help = (
        "Add an upstream for a model, or update the one with the same address, upstream model and"
        " credential name. The credential is read from the named variable and stored encrypted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="its public name; it must be in the catalog")
        parser.add_argument("--base-url", required=True, help="up to and without /chat/completions")
        parser.add_argument("--upstream-model", help="the upstream's name for it; the same without")
        parser.add_argument("--credential-env", metavar="NAME", help="the variable that holds it")
        parser.add_argument("--weight", type=operator.positive_integer, default=1)
        parser.add_argument("--priority", type=operator.positive_integer, default=10)
        parser.add_argument("--provider", default=_CUSTOM, metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        model = _find_model(options["model"])
        credential = _read_credential(options["credential_env"])
        with transaction.atomic():
            identity: dict[str, Any] = {
                "model": model,
                "provider": _find_provider(options["provider"]),
                "base_url": options["base_url"].rstrip("/"),
                "upstream_model": options["upstream_model"] or model.name,
                "name": options["credential_env"] or "",
            }
            changes: dict[str, Any] = {
                "credential": credential,
                "weight": options["weight"],
                "priority": options["priority"],
                "is_enabled": True,
            }
            _check(Channel(**identity, **changes))
            channel, is_new = Channel.objects.update_or_create(
                **identity, is_local_stand_in=False, defaults=changes
            )
            seed.arrange_stand_ins()
        self.answer(
            options,
            {
                "channel": channel.pk,
                "is_new": is_new,
                "model": model.name,
                "provider": channel.provider.slug,
                "base_url": channel.base_url,
                "upstream_model": channel.upstream_model,
                "weight": channel.weight,
                "priority": channel.priority,
                "has_credential": bool(credential),
            },
        )


def _find_model(name: str) -> Model:
    model = Model.objects.filter(name=name).first()
    if model is None:
        names = ", ".join(Model.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"there is no model {name!r} in the catalog; there are: {names}")
    return model


def _find_provider(slug: str) -> Provider:
    """Any provider by slug; the generic one is made when it is first needed."""
    if slug == _CUSTOM:
        return Provider.objects.get_or_create(
            slug=_CUSTOM, defaults={"name": "Custom", "adapter": Adapter.OPENAI}
        )[0]
    provider = Provider.objects.filter(slug=slug).first()
    if provider is None:
        slugs = ", ".join(Provider.objects.values_list("slug", flat=True))
        raise CommandError(f"there is no provider {slug!r}; there are: {slugs}, {_CUSTOM}")
    return provider


def _read_credential(variable: str | None) -> str:
    if variable is None:
        return ""
    credential = os.environ.get(variable, "").strip()
    if not credential:
        raise CommandError(f"the environment has no {variable}")
    return credential


def _check(channel: Channel) -> None:
    try:
        channel.clean_fields(exclude=["provider", "model"])
    except ValidationError as error:
        raise CommandError("; ".join(error.messages)) from None
    if not channel.base_url.startswith(("http://", "https://")):
        raise CommandError("the base URL begins with http:// or https://")
