"""Lists and forms of money for the operator: figures as people read and type them, and tables in
which nothing can be changed, found by id."""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from accounts.lists import LargeTablePaginator
from billing import operator_fields
from billing.money import NANOS_PER_CENT
from billing.operator_fields import UsdField
from billing.pages.requests import parse_id
from billing.templatetags.figures import money_exact

# Of a state column: what is well, what waits, what is bad.
_TONES = {
    "paid": "ok", "posted": "ok", "done": "ok", "won": "ok",
    "parked": "bad", "failed": "bad", "lost": "bad", "refused": "bad",
    "waiting": "warn", "pending": "warn", "open": "warn", "expired": "warn",
}  # fmt: skip


class FigureFields:
    """Of forms, inlines too."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = figure_field(db_field)
        above: Any = super()
        return field or above.formfield_for_dbfield(db_field, request, **kwargs)


class FigureAdmin(FigureFields, admin.ModelAdmin):
    """Amounts in USD, markups as factors, states as marks; both where they are shown and typed."""

    def get_list_display(self, request: HttpRequest) -> Any:
        return [_shown(self.model, one) for one in super().get_list_display(request)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [_shown(self.model, one) for one in super().get_readonly_fields(request, obj)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What cannot be changed is shown, by the same columns as in lists."""
        locked = {one for one in super().get_readonly_fields(request, obj) if isinstance(one, str)}
        is_closed = obj is not None and not self.has_change_permission(request, obj)
        return [
            (title, options | {"fields": [
                _shown(self.model, one) if is_closed or one in locked else one
                for one in options["fields"]
            ]})
            for title, options in super().get_fieldsets(request, obj)
        ]  # fmt: skip


def figure_field(db_field: Any) -> Any:
    """The form field of a column that is typed otherwise than it is stored; else None."""
    kind = operator_fields.field_for(db_field.name)
    if kind is None:
        return None
    options: dict[str, Any] = {
        "label": db_field.verbose_name,
        "help_text": db_field.help_text,
        "required": not db_field.null and not db_field.has_default(),
    }
    if db_field.has_default():
        options["initial"] = db_field.default
    if kind is UsdField:
        options["may_be_zero"] = True
    return kind(**options)


def _shown(model: Any, name: Any) -> Any:
    """The column that shows a field as people read it; what needs none stays as it is."""
    if not isinstance(name, str):
        return name
    return _column(model, name) or name


@lru_cache(maxsize=1024)
def _column(model: Any, name: str) -> Callable[[Any], Any] | None:
    write = _WRITERS.get(name.rpartition("_")[2]) or _WRITERS.get(name)
    if name.endswith("_nanos_per_month"):
        write = money_exact
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    if name == "state" and field is not None and field.choices:
        return _state_column(field)
    if write is None or (field is None and not name.endswith("_nanos")):
        return None

    def column(row: Any) -> Any:
        value = getattr(row, name)
        return None if value is None else format_html('<span class="desk-num">{}</span>',
                                                      write(value))  # fmt: skip

    column.__name__ = name
    column.short_description = (  # type: ignore[attr-defined]
        field.verbose_name if field is not None else name.removesuffix("_nanos").replace("_", " ")
    )
    if field is not None:
        column.admin_order_field = name  # type: ignore[attr-defined]
    return column


def _state_column(field: Any) -> Callable[[Any], Any]:
    def state(row: Any) -> Any:
        tone = _TONES.get(row.state, "plain")
        return format_html('<span class="desk-state is-{}">{}</span>', tone,
                           row.get_state_display())  # fmt: skip

    state.short_description = field.verbose_name  # type: ignore[attr-defined]
    state.admin_order_field = "state"  # type: ignore[attr-defined]
    return state


def _cents(minor: int) -> str:
    return money_exact(minor * NANOS_PER_CENT)


def _factor(ppm: int) -> str:
    return f"× {operator_fields.FactorField().write(ppm)}"


def _percent(ppm: int) -> str:
    return f"{operator_fields.PercentField().write(ppm)} %"


_WRITERS: dict[str, Callable[[int], str]] = {
    "nanos": money_exact,
    "minor": _cents,
    "debits_pending": money_exact,
    "debits_posted": money_exact,
    "credits_pending": money_exact,
    "credits_posted": money_exact,
    "markup_ppm": _factor,
    "rate_ppm": _percent,
    "tax_rate_ppm": _percent,
    "start_minute": operator_fields.MinuteField().write,
    "end_minute": operator_fields.MinuteField().write,
}


class ReadOnly:
    """Nothing is added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, FigureAdmin):
    """Large tables: no count over all rows, and pages through the primary key."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
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
