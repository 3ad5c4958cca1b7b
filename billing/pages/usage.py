"""Usage: stacked by what it can be told apart by, beside the same figures as a table."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import MemberRequest, member_required
from billing import labels, periods, spending, usage_charts
from billing.figures import Figures, change_percent
from billing.periods import Period, Span

MEASURES = {"spend": "charge_nanos", "tokens": "tokens", "requests": "requests", "errors": "errors"}
_SHOWS = [
    ("spend", _("Spend")),
    ("tokens", _("Tokens")),
    ("requests", _("Requests")),
    ("errors", _("Errors")),
]
_GROUPS = [
    ("model", _("Model")),
    ("project", _("Project")),
    ("key", _("Key")),
    ("member", _("Member")),
]
# What a table on a page can be read for; the total counts them all.
_ROWS_MAX = 100
_NAME_CHARS_MAX = 100
_ID_DIGITS_MAX = 18
_NOTHING = Figures()


@dataclass(frozen=True, slots=True)
class Choice:
    """What the URL asks for; what it does not know is the default."""

    period: Period
    group: str
    show: str
    filters: spending.Filters
    compares: bool

    @property
    def measure(self) -> str:
        return MEASURES[self.show]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, with what it was in the period before. `value` is its id."""

    name: str
    value: Any
    now: Figures
    before: Figures | None
    measure: str

    @property
    def change(self) -> int | None:
        """In percent of what it was; None where there was nothing or nothing is compared."""
        if self.before is None:
            return None
        return change_percent(getattr(self.now, self.measure), getattr(self.before, self.measure))

    @property
    def is_new(self) -> bool:
        return self.before is not None and not getattr(self.before, self.measure)


def choose(request: HttpRequest) -> Choice:
    given = request.GET
    group, show = given.get("by", "model"), given.get("show", "spend")
    first, last = given.get("from", ""), given.get("to", "")
    period = f"{first}..{last or first}" if first else given.get("period", "")
    return Choice(
        period=periods.parse(period),
        group=group if group in spending.GROUPS else "model",
        show=show if show in MEASURES else "spend",
        filters=spending.Filters(
            model=given.get("model", "").replace("\0", "")[:_NAME_CHARS_MAX] or None,
            project=_id(given.get("project", "")),
            key=_id(given.get("key", "")),
            member=_id(given.get("member", "")),
        ),
        compares=given.get("compare") == "1",
    )


@member_required
def usage(request: MemberRequest) -> HttpResponse:
    pk = request.membership.organization_id
    choice = choose(request)
    table = spending.table(pk, choice.period, choice.group, choice.measure, choice.filters)
    earlier = choice.period.before(timezone.now()) if choice.compares else None
    was = spending.by_group(pk, earlier, choice.group, choice.filters) if earlier else None
    groups = table.groups(choice.measure)
    groups += [name for name in was or {} if name not in table.by_group]
    names = labels.of(pk, choice.group, groups[:_ROWS_MAX])
    context = {
        "choice": choice,
        "period": choice.period,
        "periods": periods.CHOICES,
        "groups": _GROUPS,
        "shows": _SHOWS,
        "chart": _chart(pk, choice, table, names, earlier),
        "rows": [_row(name, names, choice, table, was) for name in groups[:_ROWS_MAX]],
        "left_out": len(groups[_ROWS_MAX:]),
        "total": Row("", None, table.total, _sum(was), choice.measure),
        "earlier": earlier,
        "slots": [
            (usage_charts.label(slot), slot, table.by_slot[slot])
            for slot in reversed(table.slots)
            if slot in table.by_slot
        ],
        "chips": _chips(pk, choice.filters),
    }
    return render(request, "billing/usage.html", context)


def _chart(
    pk: int, choice: Choice, table: spending.Table, names: dict[Any, str], earlier: Span | None
) -> Any:
    before = None
    if earlier is not None:
        slot = spending.slot_column(choice.period)
        before = earlier, spending.by_slot(pk, earlier, slot, choice.filters)
    return usage_charts.make(table, choice.measure, names, before)


def _row(
    value: Any,
    names: dict[Any, str],
    choice: Choice,
    table: spending.Table,
    was: dict[Any, Figures] | None,
) -> Row:
    now = table.by_group.get(value, _NOTHING)
    before = None if was is None else was.get(value, _NOTHING)
    return Row(str(names.get(value, value)), value, now, before, choice.measure)


def _sum(was: dict[Any, Figures] | None) -> Figures | None:
    if was is None:
        return None
    out = Figures()
    for figures in was.values():
        out.add(figures)
    return out


def _chips(pk: int, filters: spending.Filters) -> list[tuple[str, str, str]]:
    """The filters that are set: their name in the URL, and in words what they keep."""
    words = dict(_GROUPS)
    out = []
    for name, value in filters.given().items():
        named = labels.of(pk, name, [value]).get(value) or (
            value if name == "model" else gettext("unknown")
        )
        out.append((name, str(words[name]), str(named)))
    return out


def _id(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX
    return int(text) if is_number else None
