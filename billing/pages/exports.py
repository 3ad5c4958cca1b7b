"""What the pages show, as CSV files: usage by day or hour and group, and requests one by one."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, member_required
from billing import csv_files, labels, request_log, spending
from billing.figures import SUMS, Figures
from billing.models import UsageRecord
from billing.money import format_usd
from billing.pages.requests import parse_id
from billing.pages.usage import Choice, choose
from billing.periods import DAY, HOUR, Span, midnight
from billing.request_forms import RequestFilterForm

# Groups of one day or hour that have a line of their own; the rest of it is one more line.
_GROUPS_MAX = 5_000
# Requests that one file is made from.
_REQUESTS_MAX = 100_000
_TOKENS = [name for name in SUMS if name.endswith("_tokens")]
_USAGE_HEADER = ["start_utc", "group", "id", "requests", "errors", *_TOKENS, "spend_usd"]


@require_GET
@member_required
def usage_csv(request: MemberRequest) -> HttpResponse:
    """The chosen period in the chosen groups, under the same filters as the page, oldest first."""
    choice = choose(request)
    name = f"usage-by-{choice.group}-{choice.period.first}-{choice.period.last}.csv"
    pieces = _usage(request.membership.organization_id, choice)
    return csv_files.respond(name, _USAGE_HEADER, pieces)


@require_GET
@member_required
def requests_csv(request: MemberRequest) -> HttpResponse:
    """The requests the page would show under the same filters, newest first, from the cursor on.

    A file comes from `_REQUESTS_MAX` requests looked through at most; where there are older ones,
    a Link header names the file that follows.
    """
    organization = request.membership.organization
    filters = RequestFilterForm(request.GET, organization).filters()
    before = parse_id(request.GET.get("before", ""))
    found = request_log.pieces(organization.pk, filters, before, _REQUESTS_MAX)
    pieces = ([_request_line(record) for record in records] for records in found)
    response = csv_files.respond("requests.csv", _REQUESTS_HEADER, pieces)
    first, end = request_log.bounds(filters, before)
    older = request_log.last_looked_at(organization.pk, first, end, _REQUESTS_MAX)
    if older is not None:
        asked = request.GET.copy()
        asked["before"] = older.hex
        response["Link"] = (
            f'<{request.build_absolute_uri(request.path)}?{asked.urlencode()}>; rel="next"'
        )
    return response


def _usage(organization_id: int, choice: Choice) -> Iterator[csv_files.Rows]:
    """One piece a day: a day of a thousand keys is a thousand lines."""
    column, slot = spending.GROUPS[choice.group], spending.slot_column(choice.period)
    step = HOUR if choice.period.is_hourly else DAY
    for at in choice.period.slots(timezone.now()):
        start = at if step is HOUR else midnight(at)
        span = Span(start, start + step)  # type: ignore[arg-type]
        found = spending.rows(organization_id, span, (slot, column), choice.filters)
        largest = sorted(found, key=lambda one: one[1].charge_nanos, reverse=True)
        if not largest:
            continue
        ids = [group for (_, group), _ in largest[:_GROUPS_MAX]]
        names = labels.of(organization_id, choice.group, ids)
        lines = [
            _line(start, names.get(group, group), group, figures)
            for (_, group), figures in largest[:_GROUPS_MAX]
        ]
        if largest[_GROUPS_MAX:]:
            rest = Figures()
            for _, figures in largest[_GROUPS_MAX:]:
                rest.add(figures)
            lines.append(_line(start, "(other)", "", rest))
        yield lines


def _line(start: Any, name: Any, group: Any, figures: Figures) -> list[Any]:
    return [
        f"{start:%Y-%m-%dT%H:%M:%SZ}",
        name,
        group,
        figures.requests,
        figures.errors,
        *(getattr(figures, name) for name in _TOKENS),
        format_usd(figures.charge_nanos),
    ]


_REQUEST_FIELDS = (
    "model",
    "provider",
    "status",
    "error_code",
    "billing_reason",
    "is_stream",
    "is_estimated",
    "attempts",
    "first_token_ms",
    "duration_ms",
    *_TOKENS,
    "api_key_id",
    "project_id",
    "price_id",
)
_REQUESTS_HEADER = ["id", "started_at_utc", *_REQUEST_FIELDS, "charge_usd"]


def _request_line(record: UsageRecord) -> list[Any]:
    return [
        f"req_{record.pk.hex}",
        f"{record.started_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        *(getattr(record, name) for name in _REQUEST_FIELDS),
        format_usd(record.charge_nanos),
    ]
