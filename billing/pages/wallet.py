"""Billing: what is left, how it came and went, the plan, and the invoices."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from django.contrib import messages
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import limits
from accounts.access import BILLING_ROLES, MemberRequest, member_required, require
from billing import ledger, subscriptions
from billing.models import (
    Account,
    Invoice,
    Plan,
    Subscription,
    Transfer,
    TransferKind,
    TransferState,
    UsageDay,
)
from billing.templatetags.figures import money

_HISTORY_DAYS = 14
_HISTORY_TRANSFERS = 100
_USAGE_KINDS = (TransferKind.USAGE, TransferKind.USAGE_EXCESS, TransferKind.USAGE_LOSS)
_INVOICES = 24


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the balance's history: positive came in, negative went out."""

    day: date
    at: datetime | None
    title: str
    note: str
    amount_nanos: int
    usage_day: date | None = None


@member_required
def billing(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    wallet = organization.wallet
    subscription = Subscription.objects.select_related("plan").get(organization=organization)
    plans = list(Plan.objects.filter(is_public=True))
    if subscription.plan not in plans:
        plans.insert(0, subscription.plan)
    context = {
        "wallet": wallet,
        "subscription": subscription,
        "plans": plans,
        "history": history(wallet),
        "invoices": Invoice.objects.filter(organization=organization)[:_INVOICES],
        "may_change": request.membership.role in BILLING_ROLES,
    }
    return render(request, "billing/billing.html", context)


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
        return redirect("billing")
    messages.success(request, _("You are on the %(plan)s plan.") % {"plan": chosen.name})
    return redirect("billing")


@member_required
def invoice(request: MemberRequest, number: int) -> HttpResponse:
    found = get_object_or_404(
        Invoice.objects.prefetch_related("lines"),
        organization_id=request.membership.organization_id,
        number=number,
    )
    return render(request, "billing/invoice.html", {"invoice": found})


def history(wallet: Account) -> list[Entry]:
    """The last transfers that are not usage, and usage added up per day, newest first."""
    transfers = _last_transfers("credit_account", wallet)
    transfers += _last_transfers("debit_account", wallet)
    transfers.sort(key=lambda transfer: transfer.pk, reverse=True)
    entries = [_entry(transfer, wallet) for transfer in transfers[:_HISTORY_TRANSFERS]]
    days = (
        UsageDay.objects.filter(organization_id=cast(int, wallet.organization_id))
        .order_by()
        .values("day")
        .annotate(nanos=Sum("charge_nanos"), requests=Sum("requests"))
        .order_by("-day")[:_HISTORY_DAYS]
    )
    entries += [_usage_entry(row["day"], row["nanos"], row["requests"]) for row in days]
    return sorted(
        entries, key=lambda entry: (entry.day, entry.at is not None, entry.at), reverse=True
    )


def _last_transfers(side: str, wallet: Account) -> list[Transfer]:
    """From one side's index: asked for both sides at once, the database reads usage instead."""
    found = Transfer.objects.filter(**{side: wallet}, state=TransferState.POSTED)
    found = found.exclude(kind__in=_USAGE_KINDS)
    return list(found.order_by("-id")[:_HISTORY_TRANSFERS])


def _entry(transfer: Transfer, wallet: Account) -> Entry:
    sign = 1 if transfer.credit_account_id == wallet.pk else -1
    at = transfer.resolved_at or transfer.created_at
    titles = {
        TransferKind.WELCOME: _("Welcome credit"),
        TransferKind.TOP_UP: _("Top-up"),
        TransferKind.PLAN_FEE: _("Plan fee"),
        TransferKind.ADJUSTMENT: _("Adjustment"),
    }
    title = titles.get(TransferKind(transfer.kind), transfer.get_kind_display())
    note = "" if transfer.reason == title else transfer.reason
    return Entry(at.date(), at, title, note, sign * transfer.amount_nanos)


def _usage_entry(day: date, nanos: int, requests: int) -> Entry:
    note = _("%(n)s requests") % {"n": f"{requests:,}"}
    return Entry(day, None, _("Usage"), note, -nanos, usage_day=day)
