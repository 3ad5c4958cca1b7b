"""What the pages show, as CSV files: usage by day or hour and group, and requests one by one."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, member_required
from billing import csv_files, labels, spending
from billing.figures import SUMS, Figures
from billing.money import format_usd
from billing.pages.usage import Choice, choose
from billing.periods import DAY, HOUR, Span, midnight

# Groups of one day or hour that have a line of their own; the rest of it is one more line.
_GROUPS_MAX = 5_000
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
