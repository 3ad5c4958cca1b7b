"""What falls due by itself: a month's fee, a trial's end, a fee tried again, a change scheduled.

The subscription's `due_at` is the queue. Each step is a transaction under the row's lock that
moves `due_at` on, so it happens once however many workers look, and a run that dies is taken up
by the next. A fee is for the days from its charging on: days on which no worker ran cost nothing.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing import plan_charges, plan_mails, proration, subscriptions
from billing.ledger import InsufficientFunds
from billing.models import Plan, Subscription

log = logging.getLogger(__name__)

# A fee the balance cannot pay is tried again these many days after the first time.
RETRY_DAYS = (1, 3, 7)
# Steps of one subscription in one run: a fee paid late, and the next month's.
_STEPS_MAX = 3


def run(limit: int = 5_000) -> int:
    """Do what is due, oldest first, for at most `limit` subscriptions; returns how many."""
    now = timezone.now()
    _adopt(now)
    due = Subscription.objects.filter(due_at__lte=now, organization__suspended_at=None)
    found = list(due.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])
    done = 0
    for pk in found:
        steps = 0
        while steps < _STEPS_MAX and _step(pk, now):
            steps += 1
        done += steps > 0
    return done


def _adopt(now: datetime) -> None:
    """Whose plan got a fee while they were on it pays it from the next month on."""
    unplanned = Subscription.objects.filter(
        due_at=None, is_fee_waived=False, plan__fee_nanos_per_month__gt=0
    )
    unplanned.update(due_at=proration.end_of_month(now.date()))


def _step(pk: int, now: datetime) -> bool:
    """One thing that is due; False where nothing is any more, or another worker is at it."""
    with transaction.atomic():
        subscription = (
            Subscription.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("plan", "next_plan", "organization")
            .filter(pk=pk, due_at__lte=now)
            .first()
        )
        if subscription is None:
            return False
        if subscription.owed_from:
            _try_again(subscription, now)
        elif subscription.trial_ends_at:
            _end_trial(subscription, now)
        else:
            _begin_month(subscription, now)
    return True


def _begin_month(subscription: Subscription, now: datetime) -> None:
    plan = subscription.next_plan or subscription.plan
    if _pay(subscription, plan, now):
        return
    # The plan goes on for the days of grace.
    subscription.paid_nanos_per_month = 0
    subscriptions.put(subscription, plan)
    subscription.owed_from = now.date()
    subscription.due_at = now + timedelta(days=RETRY_DAYS[0])
    subscription.save(update_fields=["owed_from", "due_at"])
    plan_mails.tell_of_unpaid_fee(subscription, _owed(subscription), subscription.due_at)


def _end_trial(subscription: Subscription, now: datetime) -> None:
    """Without grace: the trial was that."""
    tried = subscription.plan
    if not _pay(subscription, subscription.plan, now):
        _fall_back(subscription)
        plan_mails.tell_of_trial_over(subscription, tried.name)


def _try_again(subscription: Subscription, now: datetime) -> None:
    plan, first_day = subscription.plan, subscription.owed_from
    assert first_day is not None
    try:
        due = plan_charges.dues(plan, first_day)
        plan_charges.charge(subscription.organization, plan, due)
    except InsufficientFunds:
        subscription.tries += 1
        if subscription.tries == len(RETRY_DAYS):
            _fall_back(subscription)
            plan_mails.tell_of_fall_back(subscription, plan.name)
            return
        wait = RETRY_DAYS[subscription.tries] - RETRY_DAYS[subscription.tries - 1]
        subscription.due_at = now + timedelta(days=wait)
        subscription.save(update_fields=["tries", "due_at"])
        plan_mails.tell_of_unpaid_fee(subscription, _owed(subscription), subscription.due_at)
    else:
        subscriptions.settle(subscription, plan, due)


def _pay(subscription: Subscription, plan: Plan, now: datetime) -> bool:
    """Charge the month from today on; False where the balance cannot."""
    if subscription.is_fee_waived and plan.pk == subscription.plan_id:
        subscription.due_at = None
        subscription.save(update_fields=["due_at"])
        return True
    due = plan_charges.dues(plan, now.date())
    try:
        plan_charges.charge(subscription.organization, plan, due)
    except InsufficientFunds:
        return False
    subscriptions.settle(subscription, plan, due)
    return True


def _fall_back(subscription: Subscription) -> None:
    plan = Plan.objects.get(slug=settings.DEFAULT_PLAN)
    subscription.paid_nanos_per_month = 0
    subscription.is_fee_waived = False
    subscription.due_at = None
    log.warning("organization %s fell back to %s", subscription.organization_id, plan.slug)
    subscriptions.put(subscription, plan)


def _owed(subscription: Subscription) -> int:
    """Nanos."""
    if subscription.owed_from is None:
        return 0
    return plan_charges.dues(subscription.plan, subscription.owed_from).fee_nanos
