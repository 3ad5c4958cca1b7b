"""How figures read: money that never rounds a charge to zero, short counts, and times."""

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

register = template.Library()

_NANOS = 10**9
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_RELATIVE_DAYS_MAX = 30


@register.filter
def money(nanos: int | None) -> str:
    """USD with as many decimals as it needs: $12.50, $0.0042, $0.00000312. Never zero for a charge.

    Two decimals at least; below a dollar, three significant digits, cut by rounding half up.
    """
    if nanos is None:
        return "–"
    sign, nanos = ("−" if nanos < 0 else ""), abs(int(nanos))
    whole, rest = divmod(nanos, _NANOS)
    if whole:
        cents = round(Decimal(nanos) / 10**7)
        return f"{sign}${cents // 100:,}.{cents % 100:02d}"
    digits = f"{rest:09d}"
    lead = len(digits) - len(digits.lstrip("0"))
    places = max(2, min(9, lead + 3))
    shown = f"{Decimal(rest) / _NANOS:.{places}f}"
    while len(shown.partition(".")[2]) > 2 and shown.endswith("0"):
        shown = shown[:-1]
    return f"{sign}${shown}"


@register.filter
def money_exact(nanos: int | None) -> str:
    """USD to the nano, without trailing zeros past the cents: what a receipt shows."""
    if nanos is None:
        return "–"
    sign, nanos = ("−" if nanos < 0 else ""), abs(int(nanos))
    whole, rest = divmod(nanos, _NANOS)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{decimals}"


@register.filter
def tokens(count: int | None) -> str:
    """1,234 as it is; 12,345 as 12.3 K; 1,234,567 as 1.23 M."""
    if count is None:
        return "–"
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**4, "K")):
        if count >= size:
            unit = 10**3 if letter == "K" else size
            scaled = count / unit
            shown = f"{scaled:.2f}" if scaled < 10 else f"{scaled:.1f}"
            return f"{shown.rstrip('0').rstrip('.')}\u00a0{letter}"
    return f"{count:,}"


@register.filter
def count(number: int | None) -> str:
    """An exact count with separators."""
    return "–" if number is None else f"{number:,}"


@register.filter
def milliseconds(value: int | None) -> str:
    """340 ms, 2.4 s, 1 min 12 s."""
    if value is None:
        return "–"
    if value < 1000:
        return f"{value}\u00a0ms"
    if value < 60_000:
        return f"{value / 1000:.1f}\u00a0s"
    minutes, seconds = divmod(value // 1000, 60)
    return f"{minutes}\u00a0min {seconds}\u00a0s"


@register.filter
def limit(value: int | None) -> str:
    """A limit of a plan; None is unlimited."""
    return _("Unlimited") if value is None else f"{value:,}"


@register.filter
def ago(moment: datetime | None) -> str:
    """A <time> that reads “3 minutes ago” and tells the exact UTC time when hovered or focused."""
    return _time(moment, "") if moment else "–"


@register.filter
def ago_focusable(moment: datetime | None) -> str:
    """The same where nothing around it takes the focus."""
    return _time(moment, "0") if moment else "–"


@register.filter
def utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "–"


def _time(moment: datetime, tabindex: str) -> SafeString:
    exact = utc(moment)
    focus = format_html(' tabindex="{}"', tabindex) if tabindex else ""
    return format_html(
        '<time datetime="{}" title="{}" data-tip="{}"{}>{}</time>',
        moment.isoformat(),
        exact,
        exact,
        focus,
        relative(moment, timezone.now()),
    )


def relative(moment: datetime, now: datetime) -> str:
    """In words, the largest unit alone; a date beyond a month."""
    seconds = int((now - moment).total_seconds())
    ahead, seconds = seconds < 0, abs(seconds)
    if seconds < 10:
        return _("just now")
    if seconds >= _RELATIVE_DAYS_MAX * _DAY:
        return f"{moment:%Y-%m-%d}"
    if seconds < _MINUTE:
        span = ngettext("%d second", "%d seconds", seconds) % seconds
    elif seconds < _HOUR:
        n = seconds // _MINUTE
        span = ngettext("%d minute", "%d minutes", n) % n
    elif seconds < _DAY:
        n = seconds // _HOUR
        span = ngettext("%d hour", "%d hours", n) % n
    else:
        n = seconds // _DAY
        span = ngettext("%d day", "%d days", n) % n
    return _("in %s") % span if ahead else _("%s ago") % span
