from datetime import UTC, date, datetime

import pytest
import time_machine

from accounts.models import AuditEntry
from billing import ledger, proration, subscriptions
from billing.models import Account, Plan, PlanCharge, Subscription, Transfer
from billing.subscriptions import ChangeKind
from tests.billing import scenes

pytestmark = pytest.mark.django_db

USD = scenes.USD
# A month of 30 days, 15 of them left, this one included.
HALF = datetime(2026, 11, 16, 13, 37, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def half_of_november():
    with time_machine.travel(HALF, tick=False):
        yield


@pytest.fixture
def organization():
    return scenes.make_organization(credit_nanos=300 * USD)


def _plan(slug: str, **changes: object) -> Plan:
    if changes:
        Plan.objects.filter(slug=slug).update(**changes)
    return Plan.objects.get(slug=slug)


def _available(organization) -> int:
    return Account.objects.get(organization=organization).available_nanos


@pytest.mark.parametrize(
    ("nanos", "day", "share"),
    [
        (20 * USD, date(2026, 11, 1), 20 * USD),
        (20 * USD, date(2026, 11, 16), 10 * USD),
        (20 * USD, date(2026, 11, 30), 666_666_666),
        (20 * USD, date(2026, 2, 15), 10 * USD),
        (20 * USD, date(2028, 2, 29), 689_655_172),
        (1, date(2026, 12, 2), 0),
        (31, date(2026, 12, 31), 1),
        (0, date(2026, 12, 1), 0),
    ],
)
def test_a_part_of_a_month_is_whole_days_rounded_down(nanos, day, share) -> None:
    assert proration.share(nanos, day) == share


def test_a_dearer_plan_starts_at_once_and_costs_the_days_left(organization) -> None:
    subscription = subscriptions.change_plan(organization, _plan("pro"))
    assert subscription.plan.slug == "pro"
    assert subscription.due_at == DECEMBER
    assert _available(organization) == 290 * USD
    transfer = Transfer.objects.get(kind="plan_fee")
    assert transfer.amount_nanos == 10 * USD
    assert transfer.reason == "Pro plan, 2026-11-16 to 2026-11-30"
    charge = PlanCharge.objects.get()
    assert (charge.transfer_id, charge.amount_nanos) == (transfer.pk, 10 * USD)
    assert (charge.first_day, charge.last_day) == (date(2026, 11, 16), date(2026, 11, 30))


def test_a_second_upgrade_costs_only_the_difference(organization) -> None:
    subscriptions.change_plan(organization, _plan("pro"))
    subscriptions.change_plan(organization, _plan("business"))
    assert _available(organization) == (300 - 10 - 90) * USD
    assert subscriptions.lock(organization).paid_nanos_per_month == 200 * USD


@pytest.mark.parametrize("slug", ["pro", "business"])
def test_what_is_quoted_is_what_is_charged(organization, slug) -> None:
    plan = _plan(slug, included_credit_nanos=3 * USD + 1)
    change = subscriptions.quote(subscriptions.lock(organization), plan)
    before = _available(organization)
    subscriptions.change_plan(organization, plan)
    assert before - _available(organization) == change.dues.fee_nanos - change.dues.credit_nanos
    assert change.dues.credit_nanos == (3 * USD + 1) // 2


def test_included_credit_is_given_with_the_fee_and_only_what_is_more_on_an_upgrade(
    organization,
) -> None:
    subscriptions.change_plan(organization, _plan("pro", included_credit_nanos=4 * USD))
    subscriptions.change_plan(organization, _plan("business", included_credit_nanos=50 * USD))
    given = Transfer.objects.filter(kind="plan_credit").order_by("amount_nanos")
    assert [transfer.amount_nanos for transfer in given] == [2 * USD, 23 * USD]


def test_a_fee_the_wallet_cannot_pay_is_refused_and_changes_nothing() -> None:
    poor = scenes.make_organization("Poor", credit_nanos=30 * USD)
    with pytest.raises(ledger.InsufficientFunds) as refused:
        subscriptions.change_plan(poor, _plan("business"))
    assert refused.value.needed_nanos == 100 * USD
    assert Subscription.objects.get(organization=poor).plan.slug == "starter"
    assert _available(poor) == 30 * USD


def test_held_money_does_not_pay_a_fee() -> None:
    poor = scenes.make_organization("Poor", credit_nanos=11 * USD)
    scenes.authorize(scenes.Request(poor, held_nanos=2 * USD))
    with pytest.raises(ledger.InsufficientFunds):
        subscriptions.change_plan(poor, _plan("pro"))


def test_a_cheaper_plan_waits_for_the_months_end_and_costs_nothing(organization) -> None:
    subscriptions.change_plan(organization, _plan("business"))
    left = _available(organization)
    subscription = subscriptions.change_plan(organization, _plan("pro"))
    assert subscription.plan.slug == "business"
    assert subscription.next_plan == _plan("pro")
    assert subscription.due_at == DECEMBER
    assert _available(organization) == left


def test_choosing_the_plan_one_is_on_takes_a_scheduled_change_back(organization) -> None:
    subscriptions.change_plan(organization, _plan("pro"))
    subscriptions.change_plan(organization, _plan("starter"))
    subscription = subscriptions.change_plan(organization, _plan("pro"))
    assert subscription.next_plan is None
    assert PlanCharge.objects.count() == 1
    names = AuditEntry.objects.filter(action__startswith="plan.").order_by("pk")
    assert [entry.action for entry in names] == ["plan.changed", "plan.scheduled", "plan.kept"]


def test_an_upgrade_drops_a_scheduled_change(organization) -> None:
    subscriptions.change_plan(organization, _plan("pro"))
    subscriptions.change_plan(organization, _plan("starter"))
    assert subscriptions.change_plan(organization, _plan("business")).next_plan is None


def test_an_operators_change_charges_nothing_and_is_never_due(organization) -> None:
    subscription = subscriptions.change_plan(organization, _plan("business"), charge_fee=False)
    assert _available(organization) == 300 * USD
    assert (subscription.is_fee_waived, subscription.due_at) == (True, None)


def test_a_trial_costs_nothing_and_there_is_one(organization) -> None:
    pro = _plan("pro", trial_days=14)
    subscription = subscriptions.change_plan(organization, pro)
    assert subscription.plan.slug == "pro"
    assert subscription.due_at == datetime(2026, 11, 30, 13, 37, tzinfo=UTC)
    assert _available(organization) == 300 * USD
    subscriptions.change_plan(organization, _plan("starter"))
    assert subscriptions.quote(subscriptions.lock(organization), pro).kind == ChangeKind.NOW


def test_a_plan_of_another_organization_is_not_offered(organization) -> None:
    other = scenes.make_organization("Other")
    custom = Plan.objects.create(slug="acme-x", name="Acme", organization=organization)
    assert custom in Plan.objects.offered_to(organization)
    assert custom not in Plan.objects.offered_to(other)
    _plan("pro", is_public=False)
    assert "pro" not in Plan.objects.offered_to(other).values_list("slug", flat=True)
