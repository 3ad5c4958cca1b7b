"""Topping up: an amount, a way to pay, and what has become of it. And redeem codes."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing.forms import RedeemForm, TopUpForm
from billing.models import OrderState, PaymentOrder
from billing.payments import amounts, codes, gateways, orders
from billing.payments.gateway import Declined, Unavailable
from billing.templatetags.figures import money

_REFRESH_SECONDS = 3
PAGE = 20


@limits.posts("20/h")
@member_required
def top_up(request: MemberRequest) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    configured = gateways.all_configured()
    form = TopUpForm(request.POST or None, gateways=configured)
    if request.method == "POST" and configured and form.is_valid():
        data = form.cleaned_data
        try:
            order = orders.place(
                organization,
                gateways.get(data["provider"]),
                data["amount"],
                by=request.user,
                saves_method=data.get("saves_method", False),
            )
        except orders.TooManyWaiting:
            form.add_error(
                None, _("Too many top-ups wait for their money. Pay or cancel one of them first.")
            )
        except orders.Suspended:
            form.add_error(None, _("A suspended organization cannot top up. Ask the operator."))
        else:
            return redirect("order", reference=order.reference)
    context = {
        "form": form,
        "is_configured": bool(configured),
        "recent": PaymentOrder.objects.filter(organization=organization).order_by("-id")[:PAGE],
        "suggested": (10, 25, 100, 500),
    }
    return render(request, "billing/top_up.html", context, status=422 if form.errors else 200)


@member_required
def order(request: MemberRequest, reference: str) -> HttpResponse:
    """One top-up: how to pay it while it waits, and what became of it afterwards."""
    require(request.membership, BILLING_ROLES)
    found = _mine(request, reference)
    context = {"order": found, "amount_nanos": amounts.nanos(found.amount_minor)}
    is_waiting = found.state in (OrderState.OPEN, OrderState.PENDING)
    if not is_waiting or found.is_automatic:
        return render(request, "billing/order.html", context)
    if request.GET.get("redirect_status") in ("succeeded", "processing"):
        # The payer is back from the provider; its message to us is on its way.
        answer = render(request, "billing/order.html", {**context, "is_processing": True})
        answer["Refresh"] = str(_REFRESH_SECONDS)
        return answer
    try:
        checkout = orders.start(found)
    except (Unavailable, Declined, gateways.NotConfigured):
        return render(request, "billing/order.html", {**context, "is_away": True}, status=503)
    gateway = gateways.get(found.provider)
    context |= {"checkout": checkout.facts, "template": gateway.template}
    answer = render(request, "billing/order.html", context)
    answer._csp_update = gateway.content_policy  # type: ignore[attr-defined]
    return answer


@require_POST
@limits.posts("20/m")
@member_required
def order_cancel(request: MemberRequest, reference: str) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    found = _mine(request, reference)
    try:
        is_canceled = not found.is_automatic and orders.cancel(found)
    except Unavailable:
        messages.error(request, _("The payment provider cannot be reached. Try again later."))
    else:
        if is_canceled:
            messages.success(request, _("Top-up %(ref)s is canceled.") % {"ref": reference})
    return redirect("order", reference=found.reference)


@limits.posts("10/m")
@member_required
def redeem(request: MemberRequest) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    form = RedeemForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        organization = request.membership.organization
        try:
            transfer = codes.redeem(organization, form.cleaned_data["code"], by=request.user)
        except codes.NotRedeemable:
            form.add_error("code", _("This code is not valid: mistyped, used already, or expired."))
        else:
            amount = money(transfer.amount_nanos)
            messages.success(request, _("%(amount)s is on your balance.") % {"amount": amount})
            return redirect("billing")
    return render(
        request, "billing/redeem.html", {"form": form}, status=422 if form.errors else 200
    )


def _mine(request: MemberRequest, reference: str) -> PaymentOrder:
    mine = PaymentOrder.objects.select_related("organization").filter(
        organization=request.membership.organization
    )
    return get_object_or_404(mine, reference=reference)
