"""What is to be told of, and what is to be stopped at: a month's usage."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing import thresholds
from billing.forms import AlertForm, SpendCapForm
from billing.models import SpendAlert, Subscription
from billing.money import format_usd


@limits.posts("30/m")
@member_required
def spend_limits(request: MemberRequest) -> HttpResponse:
    """The alerts and the cap; a POST without `cap` in it adds an alert."""
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    is_cap = "cap" in request.POST
    is_posted = request.method == "POST"
    alert_form = AlertForm(request.POST if is_posted and not is_cap else None)
    subscription = Subscription.objects.get(organization=organization)
    cap = subscription.spend_cap_month_nanos
    cap_form = SpendCapForm(
        request.POST if is_posted and is_cap else None,
        initial={"spend_cap_month_nanos": "" if cap is None else format_usd(cap)},
    )
    if is_posted and is_cap and cap_form.is_valid():
        thresholds.set_cap(organization, cap_form.cleaned_data["spend_cap_month_nanos"])
        messages.success(request, _("The cap is set."))
        return redirect("spend_limits")
    if is_posted and not is_cap and alert_form.is_valid():
        try:
            thresholds.add_alert(organization, alert_form.cleaned_data["threshold_nanos"])
            return redirect("spend_limits")
        except thresholds.TooManyAlerts:
            most = {"n": thresholds.ALERTS_MAX}
            alert_form.add_error(None, _("At most %(n)s alerts. Remove one first.") % most)
    context = {
        "alerts": SpendAlert.objects.filter(organization=organization),
        "alert_form": alert_form,
        "cap_form": cap_form,
        "cap_nanos": cap,
        "used_nanos": thresholds.used_this_month(organization.pk),
    }
    status = 422 if alert_form.errors or cap_form.errors else 200
    return render(request, "billing/limits.html", context, status=status)


@require_POST
@limits.posts("30/m")
@member_required
def alert_remove(request: MemberRequest, pk: int) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    if not thresholds.remove_alert(request.membership.organization, pk):
        raise Http404
    return redirect("spend_limits")
