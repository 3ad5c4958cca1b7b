"""What a month's usage may reach, and what of it is to be told of."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing import spend_caps, thresholds
from billing.forms import AlertForm, CapForm
from billing.models import SpendAlert
from billing.templatetags.figures import money


@limits.posts("30/m")
@member_required
def spend_limits(request: MemberRequest) -> HttpResponse:
    """The cap and the alerts; a POST adds an alert."""
    require(request.membership, BILLING_ROLES)
    form = AlertForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            thresholds.add_alert(
                request.membership.organization, form.cleaned_data["threshold_nanos"]
            )
            return redirect("spend_limits")
        except thresholds.TooManyAlerts:
            most = {"n": thresholds.ALERTS_MAX}
            form.add_error(None, _("At most %(n)s alerts. Remove one first.") % most)
    return _page(request, form, None)


@require_POST
@limits.posts("30/m")
@member_required
def spend_cap(request: MemberRequest) -> HttpResponse:
    """Sets the cap, or takes it away."""
    require(request.membership, BILLING_ROLES)
    form = CapForm(request.POST)
    if not form.is_valid():
        return _page(request, AlertForm(), form)
    nanos = form.cleaned_data["cap_nanos"]
    spend_caps.change(request.membership.organization, nanos)
    words = _("Usage stops at %(cap)s a month.") if nanos is not None else _("There is no cap now.")
    messages.success(request, words % {"cap": money(nanos)})
    return redirect("spend_limits")


@require_POST
@limits.posts("30/m")
@member_required
def alert_remove(request: MemberRequest, pk: int) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    if not thresholds.remove_alert(request.membership.organization, pk):
        raise Http404
    return redirect("spend_limits")


def _page(request: MemberRequest, alert_form: AlertForm, cap_form: CapForm | None) -> HttpResponse:
    organization = request.membership.organization
    standing = spend_caps.standing(organization)
    cap_form = cap_form or CapForm(initial={"cap_nanos": standing.cap_nanos})
    context = {
        "alerts": SpendAlert.objects.filter(organization=organization),
        "form": alert_form,
        "cap_form": cap_form,
        "standing": standing,
        "used_nanos": thresholds.used_this_month(organization.pk),
    }
    is_wrong = alert_form.errors or cap_form.errors
    return render(request, "billing/limits.html", context, status=422 if is_wrong else 200)
