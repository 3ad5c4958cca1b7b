import pytest

from billing import ledger, subscriptions
from billing.models import Account, Plan, Subscription, Transfer
from tests.billing import scenes

pytestmark = pytest.mark.django_db

PRO_FEE_NANOS = 20 * scenes.USD


@pytest.fixture
def organization():
    return scenes.make_organization(credit_nanos=30 * scenes.USD)


def _plan(slug: str) -> Plan:
    return Plan.objects.get(slug=slug)


def _available(organization) -> int:
    return Account.objects.get(organization=organization).available_nanos


def test_a_dearer_plan_starts_at_once_and_costs_its_fee(organization) -> None:
    alice = organization.members.get()
    subscription = subscriptions.change_plan(organization, _plan("pro"), by=alice)
    assert subscription.plan.slug == "pro"
    assert Subscription.objects.get(organization=organization).plan.slug == "pro"
    assert _available(organization) == 30 * scenes.USD - PRO_FEE_NANOS
    transfer = Transfer.objects.get(kind="plan_fee")
    assert transfer.amount_nanos == PRO_FEE_NANOS
    assert "Pro" in transfer.reason and alice.email in transfer.reason


def test_a_fee_the_wallet_cannot_pay_is_refused_and_changes_nothing(organization) -> None:
    with pytest.raises(ledger.InsufficientFunds) as refused:
        subscriptions.change_plan(organization, _plan("business"))
    assert refused.value.needed_nanos == 200 * scenes.USD
    assert Subscription.objects.get(organization=organization).plan.slug == "starter"
    assert _available(organization) == 30 * scenes.USD


def test_held_money_does_not_pay_a_fee(organization) -> None:
    scenes.authorize(scenes.Request(organization, held_nanos=11 * scenes.USD))
    with pytest.raises(ledger.InsufficientFunds):
        subscriptions.change_plan(organization, _plan("pro"))


def test_a_cheaper_plan_costs_and_refunds_nothing(organization) -> None:
    subscriptions.change_plan(organization, _plan("pro"))
    subscriptions.change_plan(organization, _plan("starter"))
    assert _available(organization) == 30 * scenes.USD - PRO_FEE_NANOS


def test_the_same_plan_is_paid_once_in_a_month(organization) -> None:
    for slug in ("pro", "pro", "starter", "pro"):
        subscriptions.change_plan(organization, _plan(slug))
    assert Subscription.objects.get(organization=organization).plan.slug == "pro"
    assert Transfer.objects.filter(kind="plan_fee").count() == 1


def test_an_operators_change_charges_nothing(organization) -> None:
    subscriptions.change_plan(organization, _plan("business"), charge_fee=False)
    assert _available(organization) == 30 * scenes.USD
