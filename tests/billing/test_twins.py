"""Two organizations alike in everything, the other one made first: a verb on one leaves the other
as it was, and never takes its card, its limits or its rows for its own."""

from typing import Any

import pytest
from django.core.cache import cache

from accounts import invitations, organizations, projects
from accounts.models import ApiKey, Invitation, Organization, Role
from billing import closing, thresholds
from billing.models import PaymentOrder, SpendAlert
from billing.payments import automatic, automatic_runs, customers, gateways, orders
from tests import factories
from tests.billing.payments import till

pytestmark = pytest.mark.django_db

USD = factories.USD


@pytest.fixture
def twins(settings: Any, monkeypatch: Any) -> tuple[Organization, Organization]:
    """The other, and ours."""
    cache.clear()
    settings.PAYMENT_GATEWAYS = {"fake": "tests.billing.payments.till.FakeGateway"}
    till.FakeGateway.reset()
    made = []
    for name in ("other", "ours"):
        owner = factories.UserFactory.create(email=f"{name}@example.com")
        organization = factories.OrganizationFactory.create(name=name, owner=owner)
        customers.find_or_create(organization, gateways.get("fake"))
        factories.key(organization)
        owning = organization.memberships.get()
        invitations.invite("dora@example.com", Role.VIEWER, by=owning)
        made.append(organization)
    return made[0], made[1]


def switch_on(organization: Organization, method: str) -> None:
    automatic.configure(
        organization, threshold_nanos=5 * USD, amount_minor=500, cap_minor=500, provider="fake",
        method_id=method, method_label=method,
    )  # fmt: skip


def test_an_automatic_top_up_charges_the_organizations_own_card(twins, monkeypatch) -> None:
    other, ours = twins
    switch_on(other, "pm_other")
    automatic.switch_off(other)
    # What the other has charged this month is no part of our limit.
    PaymentOrder.objects.create(
        organization=other, reference="TT-OTHERS", provider="fake", amount_minor=500,
        is_automatic=True, state="pending",
    )  # fmt: skip
    switch_on(ours, "pm_ours")
    charged: list[tuple[str, str]] = []
    real = till.FakeGateway.charge

    def charge(self: Any, order: PaymentOrder, customer_id: str, method_id: str) -> Any:
        charged.append((customer_id, method_id))
        return real(self, order, customer_id, method_id)

    monkeypatch.setattr(till.FakeGateway, "charge", charge)
    assert automatic_runs.run() == 1
    assert charged == [(f"cus_{ours.pk}", "pm_ours")]
    assert PaymentOrder.objects.get(state="paid").organization == ours


def test_anothers_waiting_orders_count_for_nobody_else(twins) -> None:
    other, ours = twins
    for _ in range(orders.WAITING_MAX):
        orders.place(other, gateways.get("fake"), 500)
    assert orders.place(ours, gateways.get("fake"), 500).organization == ours
    assert orders.waiting(ours).count() == 1


def test_closing_one_leaves_the_others_keys_and_invitations(twins) -> None:
    other, ours = twins
    closing.close(ours, leaves_balance=True)
    assert ApiKey.objects.live().get().organization == other
    assert Invitation.objects.get().organization == other
    assert other.memberships.count() == 1
    other.refresh_from_db()
    assert other.deleted_at is None and other.suspended_at is None


def test_suspending_one_leaves_the_other_running(twins) -> None:
    other, ours = twins
    organizations.suspend(ours)
    other.refresh_from_db()
    assert other.suspended_at is None


def test_anothers_alerts_projects_and_invitations_are_no_limit(twins) -> None:
    other, ours = twins
    thresholds.add_alert(other, 50 * USD)
    thresholds.add_alert(ours, 50 * USD)
    assert SpendAlert.objects.filter(organization=ours).count() == 1
    assert projects.create(other, "Chatbot").organization == other
    assert projects.create(ours, "Chatbot").organization == ours
    assert Invitation.objects.filter(organization=ours).count() == 1
