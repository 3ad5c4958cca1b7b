"""What of a month's usage is to be told of."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing import thresholds
from billing.forms import AlertForm
from billing.models import SpendAlert


@limits.posts("30/m")
@member_required
def spend_limits(request: MemberRequest) -> HttpResponse:
    """The alerts; a POST adds one."""
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    form = AlertForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            thresholds.add_alert(organization, form.cleaned_data["threshold_nanos"])
            return redirect("spend_limits")
        except thresholds.TooManyAlerts:
            most = {"n": thresholds.ALERTS_MAX}
            form.add_error(None, _("At most %(n)s alerts. Remove one first.") % most)
    context = {
        "alerts": SpendAlert.objects.filter(organization=organization),
        "form": form,
        "used_nanos": thresholds.used_this_month(organization.pk),
    }
    return render(request, "billing/limits.html", context, status=422 if form.errors else 200)


@require_POST
@limits.posts("30/m")
@member_required
def alert_remove(request: MemberRequest, pk: int) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    if not thresholds.remove_alert(request.membership.organization, pk):
        raise Http404
    return redirect("spend_limits")
