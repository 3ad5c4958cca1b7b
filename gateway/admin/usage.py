"""Requests, found by id, organization and day."""

import uuid
from datetime import date
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import Organization
from billing.models import UsageRecord
from billing.operators import ReadOnlyAdmin
from billing.periods import DAY, midnight

_WORDS_MAX = 4


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization_id", "model", "provider", "status", "billing_reason",
                    "charge_nanos", "started_at")  # fmt: skip
    search_fields = exact_search_fields = ("id", "organization_id")
    search_help_text = "A request's id, or an organization's number."
    ordering = ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Words that all have to fit; ids carry their time, so a day is a range of the key."""
        for word in search_term.split()[:_WORDS_MAX]:
            try:
                day = date.fromisoformat(word) if len(word) == 10 else None
            except ValueError:
                day = None
            organization = None if day else Organization.objects.filter(slug=word.lower()).first()
            if day:
                queryset = queryset.filter(id__gte=_first_id(day), id__lt=_first_id(day + DAY))
            elif organization:
                queryset = queryset.filter(organization_id=organization.pk)
            else:
                queryset = super().get_search_results(request, queryset, word)[0]
        return queryset, False


def _first_id(day: date) -> uuid.UUID:
    """No request of the day has a smaller id, and none of the day before a larger one."""
    return uuid.UUID(int=int(midnight(day).timestamp() * 1000) << 80)
