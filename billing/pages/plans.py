"""Plans: what each gives, and the change from one to another."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing import ledger, subscriptions
from billing.models import Plan, Subscription
from billing.templatetags.figures import money


@member_required
def plans(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    subscription = Subscription.objects.select_related("plan").get(organization=organization)
    offered = list(Plan.objects.filter(is_public=True))
    if subscription.plan not in offered:
        offered.insert(0, subscription.plan)
    context = {
        "subscription": subscription,
        "plans": offered,
        "may_change": request.membership.role in BILLING_ROLES,
    }
    return render(request, "billing/plans.html", context)


@member_required
def plan(request: MemberRequest, slug: str) -> HttpResponse:
    """What the change means, and one button that makes it."""
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    subscription = Subscription.objects.select_related("plan").get(organization=organization)
    chosen = get_object_or_404(Plan, slug=slug, is_public=True)
    context = {
        "now": subscription.plan,
        "plan": chosen,
        "wallet": organization.wallet,
        "is_dearer": chosen.fee_nanos_per_month > subscription.plan.fee_nanos_per_month,
    }
    return render(request, "billing/plan.html", context)


@require_POST
@limits.posts("20/m")
@member_required
def change_plan(request: MemberRequest, slug: str) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    chosen = get_object_or_404(Plan, slug=slug, is_public=True)
    try:
        subscriptions.change_plan(request.membership.organization, chosen, by=request.user)
    except ledger.InsufficientFunds as short:
        messages.error(
            request,
            _("Not changed: %(plan)s costs %(fee)s now and %(have)s is available. Top up first.")
            % {
                "plan": chosen.name,
                "fee": money(short.needed_nanos),
                "have": money(short.available_nanos),
            },
        )
        return redirect("plans")
    messages.success(request, _("You are on the %(plan)s plan.") % {"plan": chosen.name})
    return redirect("plans")
