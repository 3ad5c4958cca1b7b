"""Requests, found by id, organization, key, model, status and time; and the sums by day.

Requests' ids carry their time, so a span of time is a range of the key. Without an organization,
which has an index of its own, only so much time is looked through as answers at once.
"""

import re
import uuid
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ApiKey, Organization
from billing.models import UsageDay, UsageRecord
from billing.money import format_usd
from billing.operators import ReadOnlyAdmin
from billing.pages.requests import parse_id
from billing.periods import DAY, midnight
from gateway.admin.exports import ExportedAdmin
from providers.models import Model

_WORDS_MAX = 4
_KEY = re.compile(r"(ttonk_sk_\w*)(?:…|\.\.\.)?(\w{4})?")
# What is looked through where nothing narrower is asked for.
_SPANS = {"1h": timedelta(hours=1), "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
_SPAN = "24h"


class NarrowFilter(admin.SimpleListFilter):
    """A filter whose first choice is "all" unless it says otherwise."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return self.narrow(queryset, chosen) if chosen else queryset

    def narrow(self, rows: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        raise NotImplementedError


class ModelFilter(NarrowFilter):
    title = gettext_lazy("model")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Model.objects.values_list("name", flat=True)]

    def narrow(self, rows: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        return rows.filter(model=chosen)


class StatusFilter(NarrowFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ok", _("Answered")), ("client", _("Refused (4xx)")),
                ("server", _("Failed (5xx)"))]  # fmt: skip

    def narrow(self, rows: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        low, high = {"ok": (0, 400), "client": (400, 500), "server": (500, 1000)}.get(
            chosen, (0, 1000)
        )
        return rows.filter(status__gte=low, status__lt=high)


class TimeFilter(admin.SimpleListFilter):
    """The last day at first; any time where a search names something with an index."""

    title = gettext_lazy("time")
    parameter_name = "time"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1h", _("Last hour")), ("24h", _("Last 24 hours")), ("7d", _("Last 7 days")),
                ("30d", _("Last 30 days"))]  # fmt: skip

    def choices(self, changelist: Any) -> Any:
        first = {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("Any time") if changelist.query else _("Last 24 hours"),
        }
        yield first
        for value, label in self.lookup_choices:
            if changelist.query or value != _SPAN:
                yield {
                    "selected": self.value() == value,
                    "query_string": changelist.get_query_string({self.parameter_name: value}),
                    "display": label,
                }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = _SPANS.get(self.value() or ("" if request.GET.get("q", "").strip() else _SPAN))
        return queryset.filter(id__gte=first_id_at(timezone.now() - span)) if span else queryset


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = ("request_id", "owner", "model", "provider", "status", "billing_reason",
                    "charge_nanos", "duration_ms", "started_at")  # fmt: skip
    list_filter = (TimeFilter, StatusFilter, ModelFilter)
    search_fields = exact_search_fields = ("id", "organization_id")
    search_help_text = gettext_lazy("A request’s id, an organization, a key, a day (2026-01-31)")
    ordering = ("-id",)

    @admin.display(description=gettext_lazy("id"))
    def request_id(self, row: UsageRecord) -> str:
        return f"req_{row.pk.hex}"

    @admin.display(description=gettext_lazy("organization"))
    def owner(self, row: UsageRecord) -> str:
        return str(getattr(row, "owner_name", row.organization_id))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return RequestList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Words that all have to fit."""
        for word in search_term.split()[:_WORDS_MAX]:
            queryset = self._narrow(request, queryset, word)
        return queryset, False

    def _narrow(self, request: HttpRequest, rows: QuerySet[Any], word: str) -> QuerySet[Any]:
        day = _day(word)
        if day:
            first, end = midnight(day), midnight(day + DAY)
            return rows.filter(id__gte=first_id_at(first), id__lt=first_id_at(end))
        key = _KEY.fullmatch(word)
        if key:
            found = ApiKey.objects.filter(prefix=key[1])
            row = (found.filter(last_four=key[2]) if key[2] else found).first()
            owner = {"organization_id": row.organization_id, "api_key_id": row.pk} if row else {}
            return rows.filter(**owner) if row else rows.none()
        organization = None
        if parse_id(word) is None:
            organization = Organization.objects.filter(slug=word.lower()).first()
        if organization:
            return rows.filter(organization_id=organization.pk)
        return super().get_search_results(request, rows, word)[0]


class RequestList(ChangeList):
    """A page of requests, and in one query whose they are."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = self.result_list = list(self.result_list)
        names = Organization.objects.in_bulk({row.organization_id for row in rows})
        for row in rows:
            row.owner_name = names.get(row.organization_id, row.organization_id)


@admin.register(UsageDay)
class UsageDayAdmin(ExportedAdmin, ReadOnlyAdmin):
    list_display = ("day", "owner", "model", "requests", "errors", "charge_nanos")
    search_fields = exact_search_fields = ("organization_id",)
    search_help_text = gettext_lazy("An organization’s number")
    ordering = ("-id",)
    export_header: ClassVar = ("day", "organization", "project", "key", "model", "requests",
                               "errors", "input_tokens", "cached_input_tokens",
                               "cache_write_tokens", "output_tokens", "reasoning_output_tokens",
                               "charge_usd")  # fmt: skip

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return RequestList

    @admin.display(description=gettext_lazy("organization"))
    def owner(self, row: UsageDay) -> str:
        return str(getattr(row, "owner_name", row.organization_id))

    def export_rows(self, found: list[Any]) -> list[list[Any]]:
        plain = ("organization_id", "project_id", "api_key_id", *self.export_header[4:-1])
        return [
            [f"{row.day}", *(getattr(row, name) for name in plain), format_usd(row.charge_nanos)]
            for row in found
        ]


def _day(word: str) -> date | None:
    try:
        return date.fromisoformat(word) if len(word) == 10 else None
    except ValueError:
        return None


def first_id_at(moment: datetime) -> uuid.UUID:
    """No request of then or later has a smaller id, and none from before a larger one."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
