"""What falls due by itself, on a clock that is moved."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from accounts.models import OutgoingMail
from billing import ledger, renewals, subscriptions
from billing.models import Account, Plan, PlanCharge, Subscription, TransferKind
from tests.billing import scenes

pytestmark = pytest.mark.django_db

USD = scenes.USD
NOVEMBER = datetime(2026, 11, 1, 9, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def clock():
    with time_machine.travel(NOVEMBER, tick=False) as traveller:
        yield traveller


def _on(slug: str, credit_nanos: int = 20 * USD, **changes: object) -> Subscription:
    """An organization on the plan since the first of November, with this much left over."""
    Plan.objects.filter(slug=slug).update(**changes)
    plan = Plan.objects.get(slug=slug)
    organization = scenes.make_organization(credit_nanos=plan.fee_nanos_per_month + credit_nanos)
    return subscriptions.change_plan(organization, plan)


def _now(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related("plan").get(pk=subscription.pk)


def _available(subscription: Subscription) -> int:
    return Account.objects.get(organization=subscription.organization).available_nanos


def _days() -> list[tuple[date, date, int]]:
    charges = PlanCharge.objects.filter(kind="fee").order_by("charged_at", "pk")
    return [(one.first_day, one.last_day, one.amount_nanos) for one in charges]


def test_a_month_is_charged_when_it_begins_and_once(clock) -> None:
    subscription = _on("pro", included_credit_nanos=5 * USD)
    clock.move_to(DECEMBER - timedelta(seconds=1))
    assert renewals.run() == 0
    clock.move_to(DECEMBER + timedelta(minutes=10))
    assert renewals.run() == 1
    assert renewals.run() == 0
    assert _days() == [
        (date(2026, 11, 1), date(2026, 11, 30), 20 * USD),
        (date(2026, 12, 1), date(2026, 12, 31), 20 * USD),
    ]
    assert _available(subscription) == 10 * USD
    assert _now(subscription).due_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_downgrade_happens_at_the_months_end(clock) -> None:
    subscription = _on("business")
    subscriptions.change_plan(subscription.organization, Plan.objects.get(slug="pro"))
    clock.move_to(DECEMBER)
    renewals.run()
    now = _now(subscription)
    assert (now.plan.slug, now.next_plan, now.paid_nanos_per_month) == ("pro", None, 20 * USD)
    assert _available(subscription) == 0


def test_a_downgrade_to_the_free_plan_ends_the_fees(clock) -> None:
    subscription = _on("pro")
    subscriptions.change_plan(subscription.organization, Plan.objects.get(slug="starter"))
    clock.move_to(DECEMBER)
    renewals.run()
    clock.move_to(DECEMBER + timedelta(days=40))
    assert renewals.run() == 0
    assert (_now(subscription).plan.slug, _now(subscription).due_at) == ("starter", None)
    assert _available(subscription) == 20 * USD


def test_a_fee_that_is_not_paid_is_tried_on_days_1_3_and_7_and_then_the_plan_falls_back(
    clock,
) -> None:
    subscription = _on("pro", credit_nanos=0)
    OutgoingMail.objects.all().delete()
    for day, mails, slug in (
        (0, 1, "pro"), (1, 2, "pro"), (2, 2, "pro"), (3, 3, "pro"), (6, 3, "pro"),
        (7, 4, "starter"), (8, 4, "starter"), (40, 4, "starter"),
    ):  # fmt: skip
        clock.move_to(DECEMBER + timedelta(days=day))
        renewals.run()
        renewals.run()
        assert (OutgoingMail.objects.count(), _now(subscription).plan.slug) == (mails, slug), day
    subjects = OutgoingMail.objects.order_by("pk").values_list("subject", flat=True)
    assert "could not be paid" in subjects[0]
    assert "is on Starter now" in subjects[3]
    assert _available(subscription) == 0
    assert len(_days()) == 1


def test_a_fee_paid_late_is_for_the_whole_month_and_the_next_one_follows(clock) -> None:
    subscription = _on("pro", credit_nanos=0)
    clock.move_to(DECEMBER)
    renewals.run()
    ledger.credit(ledger.open_wallet(subscription.organization), 50 * USD, kind=TransferKind.TOP_UP)
    clock.move_to(DECEMBER + timedelta(days=3))
    renewals.run()
    assert _days()[-1] == (date(2026, 12, 1), date(2026, 12, 31), 20 * USD)
    now = _now(subscription)
    assert (now.owed_from, now.tries, now.due_at) == (None, 0, datetime(2027, 1, 1, tzinfo=UTC))


def test_an_owed_fee_is_paid_by_choosing_the_plan_again(clock) -> None:
    subscription = _on("pro", credit_nanos=0)
    clock.move_to(DECEMBER)
    renewals.run()
    ledger.credit(ledger.open_wallet(subscription.organization), 50 * USD, kind=TransferKind.TOP_UP)
    clock.move_to(DECEMBER + timedelta(hours=5))
    subscriptions.change_plan(subscription.organization, Plan.objects.get(slug="pro"))
    assert _available(subscription) == 30 * USD
    assert _now(subscription).owed_from is None


def test_a_trial_ends_with_the_fee_of_the_days_left(clock) -> None:
    subscription = _on("pro", trial_days=15)
    clock.move_to(NOVEMBER + timedelta(days=15))
    renewals.run()
    assert _days() == [(date(2026, 11, 16), date(2026, 11, 30), 10 * USD)]
    assert _now(subscription).trial_ends_at is None
    assert _now(subscription).due_at == DECEMBER


def test_a_trial_that_cannot_be_paid_ends_on_the_free_plan(clock) -> None:
    subscription = _on("pro", credit_nanos=-15 * USD, trial_days=15)
    clock.move_to(NOVEMBER + timedelta(days=15))
    renewals.run()
    assert (_now(subscription).plan.slug, _days()) == ("starter", [])


def test_days_on_which_no_worker_ran_cost_nothing(clock) -> None:
    _on("pro", credit_nanos=100 * USD)
    clock.move_to(datetime(2027, 1, 17, tzinfo=UTC))
    renewals.run()
    assert len(_days()) == 2
    assert _days()[-1] == (date(2027, 1, 17), date(2027, 1, 31), 20 * USD * 15 // 31)


def test_a_waived_fee_is_never_charged_and_a_new_fee_waits_for_the_next_month(clock) -> None:
    given = scenes.make_organization("Given")
    subscriptions.change_plan(given, Plan.objects.get(slug="business"), charge_fee=False)
    free = scenes.make_organization("Free", credit_nanos=10 * USD)
    Plan.objects.filter(slug="starter").update(fee_nanos_per_month=3 * USD)
    assert renewals.run() == 0
    clock.move_to(DECEMBER)
    assert renewals.run() == 1
    assert [charge.organization for charge in PlanCharge.objects.all()] == [free]


def test_a_suspended_organization_is_not_charged(clock) -> None:
    subscription = _on("pro")
    organization = subscription.organization
    organization.suspended_at = NOVEMBER
    organization.save()
    clock.move_to(DECEMBER)
    assert renewals.run() == 0
