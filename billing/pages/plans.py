"""Plans: what each gives, and the change from one to another, with its price before it is made."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing import ledger, proration, subscriptions
from billing.models import Plan, Subscription
from billing.subscriptions import ChangeKind
from billing.templatetags.figures import money


def _subscription(request: MemberRequest) -> Subscription:
    rows = Subscription.objects.select_related("plan", "next_plan")
    return rows.get(organization=request.membership.organization)


@member_required
def plans(request: MemberRequest) -> HttpResponse:
    subscription = _subscription(request)
    offered = list(Plan.objects.offered_to(request.membership.organization)[:20])
    if subscription.plan not in offered:
        offered.insert(0, subscription.plan)
    owed = subscription.owed_from and subscriptions.quote(subscription, subscription.plan)
    context = {
        "subscription": subscription,
        "plans": offered,
        "owed": owed,
        "may_change": request.membership.role in BILLING_ROLES,
    }
    return render(request, "billing/plans.html", context)


@member_required
def plan(request: MemberRequest, slug: str) -> HttpResponse:
    """What the change means and costs, and one button that makes it."""
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    subscription = _subscription(request)
    chosen = get_object_or_404(Plan.objects.offered_to(organization), slug=slug)
    change = subscriptions.quote(subscription, chosen)
    context = {
        "now": subscription.plan,
        "plan": chosen,
        "subscription": subscription,
        "change": change,
        "days": proration.days_left(change.dues.first_day),
        "days_of_month": proration.last_day(change.dues.first_day).day,
        "paid_nanos": subscription.paid_nanos_per_month if change.kind == ChangeKind.NOW else 0,
        "wallet": organization.wallet,
        "is_short": organization.wallet.available_nanos < change.dues.fee_nanos,
    }
    return render(request, "billing/plan.html", context)


@require_POST
@limits.posts("20/m")
@member_required
def change_plan(request: MemberRequest, slug: str) -> HttpResponse:
    require(request.membership, BILLING_ROLES)
    organization = request.membership.organization
    chosen = get_object_or_404(Plan.objects.offered_to(organization), slug=slug)
    try:
        subscription = subscriptions.change_plan(organization, chosen)
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
    if subscription.next_plan_id == chosen.pk and subscription.due_at:
        words = _("You change to %(plan)s on %(day)s.")
        day = f"{subscription.due_at:%Y-%m-%d}"
        messages.success(request, words % {"plan": chosen.name, "day": day})
    else:
        messages.success(request, _("You are on the %(plan)s plan.") % {"plan": chosen.name})
    return redirect("plans")
