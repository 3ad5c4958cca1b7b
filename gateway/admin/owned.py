"""Lists searched by whole names and numbers, so that an index answers however long they are."""

from contextlib import suppress
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import Organization

_OWNERS_MAX = 100


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
        found = Q(**{f"{self.owner_path}__in": owners(text)})
        for column in self.found_by:
            with suppress(ValueError, ValidationError):
                queryset.filter(**{column: text})  # raises where the text cannot be its value
                found |= Q(**{column: text})
        return queryset.filter(found), False
