"""Settings: deleting the organization."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import limits
from accounts.access import OWNER_ROLES, MemberRequest, gone_is_404, member_required, require
from accounts.people_forms import TypedNameForm
from billing import closing
from billing.models import UsageRecord


class ClosingForm(TypedNameForm):
    leaves_balance = forms.BooleanField(
        label=gettext_lazy("I leave the balance behind."), required=False
    )


@limits.posts("10/m")
@member_required
def organization_delete(request: MemberRequest) -> HttpResponse:
    """Says what breaks and what happens with the money; asks for the name, typed."""
    require(request.membership, OWNER_ROLES)
    organization = request.membership.organization
    form = ClosingForm(request.POST or None, name=organization.name)
    if request.method == "POST" and form.is_valid():
        try:
            with gone_is_404():
                closing.close(organization, leaves_balance=form.cleaned_data["leaves_balance"])
        except closing.FundsLeft:
            form.add_error("leaves_balance", _("There is money left: tick this to go on."))
        else:
            done = _("%(name)s is deleted. Its keys are refused from now on.")
            messages.success(request, done % {"name": organization.name})
            return redirect("home")
    context: dict[str, Any] = {
        "form": form,
        "keys": organization.api_keys.lasting().live().count(),
        "members": organization.memberships.count(),
        "has_usage": UsageRecord.objects.filter(organization_id=organization.pk).exists(),
    }
    status = 422 if form.is_bound else 200
    return render(request, "billing/organization_delete.html", context, status=status)
