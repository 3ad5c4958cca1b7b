"""Lists searched by whole names and numbers, so that an index answers however long they are."""

from contextlib import suppress
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.models import Organization

_OWNERS_MAX = 100
_FOUND_MAX = 1_000
# Ids that a payment provider gave: their indexes begin with its name.
_PROVIDERS_OWN = {"provider_id", "event_id"}
_ALWAYS_KNOWN = ("stripe", "bank")


def owners(text: str) -> list[int]:
    """The organizations that are called so, by whole name or short name."""
    named = Organization.objects.filter(Q(name__iexact=text) | Q(slug=text.lower()))
    return list(named.values_list("pk", flat=True)[:_OWNERS_MAX])


class OwnedAdmin(admin.ModelAdmin):
    """`owner_path` leads to the organization; `found_by` are columns compared as they are."""

    owner_path = "organization"
    found_by: ClassVar[tuple[str, ...]] = ()
    search_fields = ("pk",)  # what makes Django show the box

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        own = owners(text)
        found = Q(**{f"{self.owner_path}__in": own}) if own else Q(pk__in=[])
        # Each by its own index; one OR over several columns would read every row.
        for column in self.found_by:
            with suppress(ValueError, ValidationError):
                rows = self.model._default_manager.filter(**{column: text})
                if column in _PROVIDERS_OWN:
                    rows = rows.filter(provider__in=[*settings.PAYMENT_GATEWAYS, *_ALWAYS_KNOWN])
                found |= Q(pk__in=list(rows.values_list("pk", flat=True)[:_FOUND_MAX]))
        return queryset.filter(found), False


class ProviderFilter(admin.SimpleListFilter):
    """The payment providers there are; the stock filter would look for them in every row."""

    title = gettext_lazy("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in dict.fromkeys([*settings.PAYMENT_GATEWAYS, "bank"])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(provider=chosen) if chosen else queryset
