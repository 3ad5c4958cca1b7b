"""Whom invoices name: company, address and tax number."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import audit, limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing.forms import BillingDetailsForm
from billing.models import BillingDetails


@limits.posts("20/m")
@member_required
def details(request: MemberRequest) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    row = BillingDetails.objects.filter(organization=organization).first()
    form = BillingDetailsForm(
        request.POST or None, instance=row or BillingDetails(organization=organization)
    )
    if request.method == "POST" and form.is_valid():
        form.save()
        audit.record("billing_details.changed", organization, form.instance.company)
        messages.success(request, _("Saved."))
        return redirect("billing_details")
    return render(
        request, "billing/details.html", {"form": form}, status=422 if form.errors else 200
    )
