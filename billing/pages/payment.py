"""Saved cards, and the automatic top-up that charges one of them."""

import logging

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing.forms import AutoTopUpForm
from billing.models import AutoTopUp
from billing.money import format_usd
from billing.payments import automatic, customers, gateways
from billing.payments.gateway import Declined, PaymentGateway, SavedMethod, Unavailable

log = logging.getLogger(__name__)


@limits.posts("20/m")
@member_required
def payment(request: MemberRequest) -> HttpResponse:
    """The cards, and the form of automatic top-up where there is one to charge."""
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    gateway = gateways.for_saved_methods()
    methods = _methods(request, gateway)
    row = AutoTopUp.objects.filter(organization=organization).first()
    form = AutoTopUpForm(request.POST or None, methods=methods or [], initial=_initial(row))
    if request.method == "POST" and gateway and methods and form.is_valid():
        label = next(one.label for one in methods if one.id == form.cleaned_data["method_id"])
        automatic.configure(
            organization, provider=gateway.name, method_label=label, **form.cleaned_data
        )
        messages.success(request, _("Automatic top-up is on."))
        return redirect("payment")
    context = {
        "is_configured": gateway is not None,
        "methods": methods,
        "automatic": row,
        "form": form,
    }
    return render(request, "billing/payment.html", context, status=422 if form.errors else 200)


@require_POST
@limits.posts("20/m")
@member_required
def automatic_off(request: MemberRequest) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    if automatic.switch_off(request.membership.organization):
        messages.success(request, _("Automatic top-up is off. Nothing is charged by itself."))
    return redirect("payment")


@limits.posts("20/h")
@member_required
def method_new(request: MemberRequest) -> HttpResponse:
    """A card saved without a payment. POST asks the provider for its form, GET asks first."""
    require(request.membership, BILLING_ROLES)
    gateway = gateways.for_saved_methods()
    if gateway is None or request.method != "POST":
        return redirect("payment")
    try:
        customer_id = customers.find_or_create(request.membership.organization, gateway)
        checkout = gateway.create_setup(customer_id)
    except (Unavailable, Declined) as error:
        log.warning("no form for a card: %s", error)
        messages.error(request, _("The payment provider cannot be reached. Try again later."))
        return redirect("payment")
    context = {
        "checkout": checkout.facts,
        "template": gateway.template,
        "return_path": reverse("payment"),
    }
    answer = render(request, "billing/method_new.html", context)
    answer._csp_update = gateway.content_policy  # type: ignore[attr-defined]
    return answer


@require_POST
@limits.posts("20/m")
@member_required
def method_remove(request: MemberRequest) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    gateway = gateways.for_saved_methods()
    method_id = request.POST.get("method", "")[:200]
    try:
        if gateway and customers.forget(request.membership.organization, gateway, method_id):
            messages.success(request, _("The card is removed."))
    except (Unavailable, Declined):
        messages.error(request, _("The payment provider cannot be reached. Try again later."))
    return redirect("payment")


def _methods(request: MemberRequest, gateway: PaymentGateway | None) -> list[SavedMethod] | None:
    """None where the provider cannot be asked now."""
    if gateway is None:
        return []
    try:
        return customers.methods(request.membership.organization, gateway)
    except (Unavailable, Declined) as error:
        log.warning("cards cannot be listed: %s", error)
        return None


def _initial(row: AutoTopUp | None) -> dict[str, object]:
    if row is None:
        return {}
    return {
        "threshold_nanos": format_usd(row.threshold_nanos),
        "amount_minor": format_usd(row.amount_nanos),
        "cap_minor": format_usd(row.cap_nanos),
        "method_id": row.method_id,
    }
