"""The balance: what is left, what moved last, and what brings more in by itself."""

from django.http import HttpResponse
from django.shortcuts import render

from accounts.access import BILLING_ROLES, MemberRequest, member_required
from billing import history, spend_caps, thresholds
from billing.models import AutoTopUp, Subscription
from billing.payments import orders

_ENTRIES = 8
_WAITING_SHOWN = 3


@member_required
def billing(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    wallet = organization.wallet
    subscription = Subscription.objects.select_related("plan").get(organization=organization)
    may_change = request.membership.role in BILLING_ROLES
    context = {
        "wallet": wallet,
        "subscription": subscription,
        "automatic": AutoTopUp.objects.filter(organization=organization).first(),
        "standing": spend_caps.standing(organization),
        "used_nanos": thresholds.used_this_month(organization.pk),
        "history": history.page(wallet, _ENTRIES),
        "waiting": orders.waiting(organization).order_by("-id")[:_WAITING_SHOWN],
        "may_change": may_change,
    }
    return render(request, "billing/billing.html", context)
