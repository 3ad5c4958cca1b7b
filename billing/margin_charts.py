"""A report of margins as a chart, and as rows of a table file."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import usage_charts
from billing.charts import Chart, lines
from billing.margins import Line, Report
from billing.money import format_usd
from billing.templatetags.figures import money

# What a report can be told apart by, and what it is called.
LINES = ("model", "channel", "customer", "day")
NAMES = {
    "model": gettext_lazy("By model"),
    "channel": gettext_lazy("By channel"),
    "day": gettext_lazy("By day"),
    "customer": gettext_lazy("Customers with the most revenue"),
}
_HEADER = ("requests", "errors", "revenue_usd", "cost_usd", "margin_usd", "cost_unknown", "untold")


def make(report: Report) -> Chart | None:
    """Revenue and cost per day; None where there is nothing."""
    if not report.total.requests:
        return None
    days = report.days
    return lines(
        [usage_charts.label(date.fromisoformat(one.name)) for one in days],
        [
            (_("Revenue"), [one.charge_nanos for one in days]),
            (_("Cost"), [one.cost_nanos for one in days]),
        ],
        money,
    )


def lines_of(report: Report, by: str) -> Sequence[Line]:
    found: dict[str, Sequence[Line]] = {
        "model": report.models,
        "channel": report.channels,
        "day": report.days,
        "customer": report.customers,
    }
    return found[by]


def rows(report: Report, by: str) -> list[tuple[Any, ...]]:
    """A header, and a row for each line."""
    if by == "loss":
        losses = [
            (one.day.isoformat(), one.cause, one.count, format_usd(one.amount_nanos))
            for one in report.losses
        ]
        return [("day", "cause", "count", "lost_usd"), *losses]
    return [(by, *_HEADER), *(_row(one) for one in lines_of(report, by))]


def _row(one: Line) -> tuple[Any, ...]:
    amounts = (format_usd(nanos) for nanos in (one.charge_nanos, one.cost_nanos, one.margin_nanos))
    return (one.name, one.requests, one.errors, *amounts, one.unrated, one.untold)
