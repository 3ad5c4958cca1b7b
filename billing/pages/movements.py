"""Everything that moved the balance, in pages and as CSV."""

from collections.abc import Iterator

from django.http import HttpResponse
from django.shortcuts import render

from accounts.access import MemberRequest, member_required
from billing import csv_files, history
from billing.history import Entry
from billing.models import Account
from billing.money import format_usd
from billing.pages.requests import parse_id

PAGE = 50
CSV_ROWS_MAX = 10_000
_CSV_PIECE = 1_000
_HEADER = ("date_utc", "time_utc", "what", "note", "in_usd", "out_usd", "transfer")


@member_required
def movements(request: MemberRequest) -> HttpResponse:
    before = parse_id(request.GET.get("before", ""))
    page = history.page(request.membership.organization.wallet, PAGE, before)
    context = {
        "page": page,
        "older": page.older.hex if page.older else None,
        "is_first": before is None,
        "rows_max": CSV_ROWS_MAX,
    }
    return render(request, "billing/history.html", context)


@member_required
def movements_csv(request: MemberRequest) -> HttpResponse:
    """The newest ten thousand lines: amounts exact to the nano, times in UTC."""
    organization = request.membership.organization
    name = f"balance-{organization.slug}.csv"
    return csv_files.respond(name, _HEADER, _pieces(organization.wallet))


def _pieces(wallet: Account) -> Iterator[list[list[str]]]:
    for page in history.walk(wallet, CSV_ROWS_MAX, _CSV_PIECE):
        yield [_row(entry) for entry in page]


def _row(one: Entry) -> list[str]:
    amount = format_usd(abs(one.amount_nanos))
    return [
        one.day.isoformat(),
        f"{one.at:%H:%M:%S}" if one.at else "",
        one.title,
        one.note,
        amount if one.amount_nanos >= 0 else "",
        amount if one.amount_nanos < 0 else "",
        str(one.transfer_id or ""),
    ]
