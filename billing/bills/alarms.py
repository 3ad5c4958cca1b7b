"""Telling operators, once for each bill, that an upstream's bill is not what our usage says."""

from functools import partial

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import mail
from accounts.mail import Letter
from accounts.models import User
from billing.bills import matching
from billing.models import ReconciledDay, UpstreamBill
from billing.templatetags.figures import money

_PERMISSION = "billing.view_upstreambill"
_OPERATORS_MAX = 50
_DAYS_SHOWN = 5


def tell() -> int:
    """Mail about bills that drift above the threshold and of which nobody was told; one that has
    come right may alarm again. Returns how many bills."""
    drifting = matching.drifting()
    UpstreamBill.objects.exclude(alarmed_at=None).exclude(pk__in=drifting).update(alarmed_at=None)
    told = 0
    for bill in list(drifting.filter(alarmed_at=None)):
        # Whoever changes the row tells of it.
        if UpstreamBill.objects.filter(pk=bill.pk, alarmed_at=None).update(
            alarmed_at=timezone.now()
        ):
            for operator in _operators():
                mail.tell(operator, partial(_letter, bill))
            told += 1
    return told


def _operators() -> list[User]:
    staff = User.objects.filter(is_staff=True, is_active=True).order_by("pk")
    return [one for one in staff if one.has_perm(_PERMISSION)][:_OPERATORS_MAX]


def _letter(bill: UpstreamBill) -> Letter:
    days = ReconciledDay.objects.filter(bill=bill, is_alarming=True)
    count = days.count()
    facts = {"provider": bill.provider, "first": bill.first_day, "last": bill.last_day, "n": count}
    shown = [(f"{day.day} {day.model}", _apart(day)) for day in days.order_by("day")[:_DAYS_SHOWN]]
    return Letter(
        subject=_("The bill of %(provider)s drifts: %(first)s to %(last)s") % facts,
        title=_("What %(provider)s bills is not what our usage says") % facts,
        paragraphs=(
            ngettext(
                "%(n)s day and model of the bill from %(first)s to %(last)s is further apart than "
                "the threshold.",
                "%(n)s days and models of the bill from %(first)s to %(last)s are further apart "
                "than the threshold.",
                count,
            )
            % facts,
        ),
        facts=tuple(shown),
        link=(_("Compare them"), _address(bill)),
        closing=_("You get this mail once for each bill, as an operator of this platform."),
    )


def _apart(day: ReconciledDay) -> str:
    if day.cost_there_nanos is None:
        return str(day.get_state_display())
    facts = {"here": money(day.cost_here_nanos), "there": money(day.cost_there_nanos)}
    return _("%(here)s here, %(there)s on the bill") % facts


def _address(bill: UpstreamBill) -> str:
    path = reverse("admin:billing_upstreambill_change", args=[bill.pk])
    return f"{settings.BASE_URL.rstrip('/')}{path}"
