"""Lists of money for the operator: nothing in them can be changed, and they are found by id."""

from contextlib import suppress
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.lists import LargeTablePaginator
from billing.pages.requests import parse_id


class ReadOnly:
    """Nothing is added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, admin.ModelAdmin):
    """Large tables: no count over all rows, and pages through the primary key."""

    show_full_result_count = False
    paginator = LargeTablePaginator
    list_per_page = 50
    # Fields a search looks up as they are, so that their index answers; the stock search would
    # read every row as text.
    exact_search_fields: ClassVar[tuple[str, ...]] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not self.exact_search_fields or not search_term.strip():
            return super().get_search_results(request, queryset, search_term)
        found = Q(pk__in=[])
        for name in self.exact_search_fields:
            with suppress(ValueError, ValidationError):
                found |= Q(**{name: _read(queryset.model._meta.get_field(name), search_term)})
        return queryset.filter(found), False


def _read(field: Any, text: str) -> Any:
    """What the operator typed as the field's own value. Raises ValueError or ValidationError."""
    if isinstance(field, models.UUIDField):
        wanted = parse_id(text)
        if wanted is None:
            raise ValueError(text)
        return wanted
    value = field.to_python(text.strip())
    field.run_validators(value)
    return value
