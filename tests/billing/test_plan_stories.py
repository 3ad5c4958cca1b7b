"""Plans over months and years, on a clock that is moved; every fee ends on an invoice."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import Organization, OutgoingMail
from billing import invoices, ledger, proof, renewals, subscriptions
from billing.models import (
    Account,
    Invoice,
    Plan,
    PlanCharge,
    Subscription,
    Transfer,
    TransferKind,
)
from billing.subscriptions import ChangeKind
from tests.billing import scenes

pytestmark = pytest.mark.django_db

USD = scenes.USD


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(at(2026, 11, 1, 9), tick=False) as traveller:
        yield traveller


def plan(slug: str, **changes: object) -> Plan:
    Plan.objects.filter(slug=slug).update(**changes)
    return Plan.objects.get(slug=slug)


def now(organization) -> Subscription:
    return Subscription.objects.select_related("plan", "next_plan").get(organization=organization)


def available(organization) -> int:
    return Account.objects.get(organization=organization).available_nanos


def fees(organization) -> list[tuple[str, int]]:
    rows = PlanCharge.objects.filter(organization=organization, kind="fee").order_by("pk")
    return [(f"{one.first_day}..{one.last_day.day}", one.amount_nanos) for one in rows]


def assert_all_invoiced(organization, upto: date) -> None:
    """Every fee and credit stands on its month's invoice, once, and all of it recomputes."""
    months = {row.charged_at.date().replace(day=1) for row in PlanCharge.objects.all()}
    for month in sorted(months):
        if month < upto:
            invoices.close_month(month)
    for invoice in Invoice.objects.all():
        assert invoices.verify_invoice(invoice) == []
    lines = [line for one in Invoice.objects.all() for line in one.lines.exclude(kind="usage")]
    charged = PlanCharge.objects.filter(
        charged_at__lt=datetime(upto.year, upto.month, 1, tzinfo=UTC)
    )
    assert sorted(str(line.transfer_id) for line in lines) == sorted(
        str(row.transfer_id) for row in charged
    )
    moved = Transfer.objects.filter(kind__in=["plan_fee", "plan_credit"])
    assert moved.count() == PlanCharge.objects.count()
    assert [(one.name, one.first) for one in proof.prove() if not one.is_ok] == []


def test_two_years_of_months_cost_the_same_whatever_their_length(clock) -> None:
    clock.move_to(at(2027, 1, 31, 12))
    organization = scenes.make_organization(credit_nanos=1_000 * USD)
    subscriptions.change_plan(organization, plan("pro", included_credit_nanos=2 * USD))
    expected = [("2027-01-31..31", 20 * USD // 31)]
    for n in range(1, 26):
        year, month = 2027 + n // 12, n % 12 + 1
        clock.move_to(at(year, month, 1, 0, 7))
        renewals.run()
        last = (at(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
        expected.append((f"{year}-{month:02d}-01..{last}", 20 * USD))
    assert fees(organization) == expected
    assert ("2028-02-01..29", 20 * USD) in expected
    paid = sum(nanos for _, nanos in expected)
    given = 2 * USD // 31 + 25 * 2 * USD
    assert available(organization) == 1_000 * USD - paid + given
    clock.move_to(at(2029, 2, 2))
    assert_all_invoiced(organization, date(2029, 2, 1))
    assert Invoice.objects.count() == 25


@pytest.mark.parametrize(
    ("moment", "days_left", "days"),
    [
        (at(2027, 2, 28, 23, 59), 1, 28),
        (at(2028, 2, 29), 1, 29),
        (at(2028, 2, 28), 2, 29),
        (at(2027, 4, 30, 23, 59), 1, 30),
        (at(2027, 12, 31, 23, 59), 1, 31),
        (at(2027, 5, 1), 31, 31),
    ],
)
def test_an_upgrade_costs_the_days_left_by_hand(clock, moment, days_left, days) -> None:
    clock.move_to(moment)
    organization = scenes.make_organization(credit_nanos=500 * USD)
    subscriptions.change_plan(organization, plan("pro"))
    subscriptions.change_plan(organization, plan("business"))
    first, second = 20 * USD * days_left // days, 180 * USD * days_left // days
    assert [nanos for _, nanos in fees(organization)] == [first, second]
    assert available(organization) == 500 * USD - first - second


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Pacific/Auckland"])
def test_a_servers_own_time_zone_and_its_summer_time_change_nothing(clock, zone, settings) -> None:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        clock.move_to(at(2027, 3, 28, 0, 30))
        organization = scenes.make_organization(credit_nanos=500 * USD)
        subscriptions.change_plan(organization, plan("pro"))
        for month in (4, 11, 12):
            clock.move_to(at(2027, month, 1) - timedelta(seconds=1))
            renewals.run()
            clock.move_to(at(2027, month, 1))
            renewals.run()
        assert [day for day, _ in fees(organization)] == [
            "2027-03-28..31", "2027-04-01..30", "2027-10-31..31", "2027-11-01..30",
            "2027-12-01..31",
        ]  # fmt: skip
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


def test_a_minute_after_midnight_nothing_is_paid_yet_and_an_upgrade_costs_all_of_it(clock) -> None:
    organization = scenes.make_organization(credit_nanos=500 * USD)
    subscriptions.change_plan(organization, plan("pro"))
    clock.move_to(at(2026, 12, 1, 0, 1))  # and no worker has run
    change = subscriptions.quote(now(organization), plan("business"))
    assert (change.kind, change.dues.fee_nanos) == (ChangeKind.NOW, 200 * USD)
    subscriptions.change_plan(organization, plan("business"))
    assert renewals.run() == 0
    assert fees(organization) == [("2026-11-01..30", 20 * USD), ("2026-12-01..31", 200 * USD)]


def test_after_a_suspension_of_months_an_upgrade_costs_all_of_what_is_left(clock) -> None:
    organization = scenes.make_organization(credit_nanos=500 * USD)
    subscriptions.change_plan(organization, plan("pro"))
    organization.suspended_at = at(2026, 11, 10)
    organization.save()
    for month in (12, 1):
        clock.move_to(at(2026 + (month == 1), month, 1, 5))
        renewals.run()
    organization.suspended_at = None
    organization.save()
    clock.move_to(at(2027, 1, 17))
    subscriptions.change_plan(organization, plan("business"))
    assert fees(organization)[1:] == [("2027-01-17..31", 200 * USD * 15 // 31)]


def test_a_cheaper_plan_after_the_time_paid_for_starts_at_once(clock) -> None:
    organization = scenes.make_organization(credit_nanos=500 * USD)
    subscriptions.change_plan(organization, plan("business"))
    clock.move_to(at(2026, 12, 1, 0, 1))
    subscriptions.change_plan(organization, plan("pro"))
    assert now(organization).plan.slug == "pro"
    assert fees(organization)[1:] == [("2026-12-01..31", 20 * USD)]
    assert now(organization).due_at == at(2027, 1, 1)


def owing(clock, slug: str = "business") -> Organization:
    """An organization whose December fee the balance could not pay, on the second of December."""
    organization = scenes.make_organization(credit_nanos=plan(slug).fee_nanos_per_month)
    subscriptions.change_plan(organization, plan(slug))
    clock.move_to(at(2026, 12, 1, 0, 10))
    renewals.run()
    assert now(organization).owed_from == date(2026, 12, 1)
    clock.move_to(at(2026, 12, 2, 12))
    ledger.credit(ledger.open_wallet(organization), 300 * USD, kind=TransferKind.TOP_UP)
    return organization


@pytest.mark.parametrize(
    ("to", "fee"),
    [("pro", 20 * USD * 30 // 31), ("starter", 0), ("business", 200 * USD)],
)
def test_changing_the_plan_while_the_fee_is_owed(clock, to, fee) -> None:
    """Another plan is paid from its day on; the owed one, chosen again, from its first."""
    organization = owing(clock)
    change = subscriptions.quote(now(organization), plan(to))
    assert (change.dues.fee_nanos, change.is_downgrade) == (fee, False)
    subscriptions.change_plan(organization, plan(to))
    row = now(organization)
    assert (row.plan.slug, row.owed_from, row.tries, row.next_plan) == (to, None, 0, None)
    assert available(organization) == 300 * USD - fee
    for day in (3, 5, 9, 20):
        clock.move_to(at(2026, 12, day))
        assert renewals.run() == 0
    clock.move_to(at(2027, 1, 2))
    assert_all_invoiced(organization, date(2027, 1, 1))


def test_a_dearer_plan_while_the_fee_is_owed_is_paid_from_its_day_on(clock) -> None:
    organization = owing(clock, "pro")
    subscriptions.change_plan(organization, plan("business"))
    assert fees(organization)[-1] == ("2026-12-02..31", 200 * USD * 30 // 31)
    assert now(organization).owed_from is None


def test_dunning_mails_and_falls_back_and_the_plan_can_be_bought_again(clock) -> None:
    organization = scenes.make_organization(credit_nanos=20 * USD)
    subscriptions.change_plan(organization, plan("pro"))
    OutgoingMail.objects.all().delete()
    for day in (1, 2, 4, 8):
        clock.move_to(at(2026, 12, day, 0, 10))
        assert renewals.run() == 1
    subjects = list(OutgoingMail.objects.order_by("pk").values_list("subject", flat=True))
    assert ["could not be paid" in one for one in subjects] == [True, True, True, False]
    assert now(organization).plan.slug == "starter"
    ledger.credit(ledger.open_wallet(organization), 20 * USD, kind=TransferKind.TOP_UP)
    clock.move_to(at(2026, 12, 17))
    subscriptions.change_plan(organization, plan("pro"))
    assert fees(organization)[-1] == ("2026-12-17..31", 20 * USD * 15 // 31)
    clock.move_to(at(2027, 1, 1, 2))
    assert_all_invoiced(organization, date(2027, 1, 1))


def test_a_trial_runs_over_a_months_end_and_is_then_paid_for_its_rest(clock) -> None:
    clock.move_to(at(2028, 2, 20, 18))
    organization = scenes.make_organization(credit_nanos=50 * USD)
    subscriptions.change_plan(organization, plan("pro", trial_days=14))
    for day, hour in ((29, 0), (29, 23)):
        clock.move_to(at(2028, 2, day, hour))
        assert renewals.run() == 0
    clock.move_to(at(2028, 3, 5, 17, 59))
    assert renewals.run() == 0
    clock.move_to(at(2028, 3, 5, 18))
    assert renewals.run() == 1
    assert fees(organization) == [("2028-03-05..31", 20 * USD * 27 // 31)]
    clock.move_to(at(2028, 4, 1, 2))
    renewals.run()
    assert_all_invoiced(organization, date(2028, 4, 1))


def test_a_custom_plan_is_offered_charged_and_invoiced_like_any_other(clock) -> None:
    organization = scenes.make_organization(credit_nanos=2_000 * USD)
    custom = Plan.objects.create(
        slug="acme-large", name="Acme Large", organization=organization,
        fee_nanos_per_month=900 * USD, included_credit_nanos=100 * USD, is_public=False,
    )  # fmt: skip
    clock.move_to(at(2026, 11, 16))
    assert custom in Plan.objects.offered_to(organization)
    subscriptions.change_plan(organization, custom)
    clock.move_to(at(2026, 12, 1, 0, 20))
    renewals.run()
    assert fees(organization) == [("2026-11-16..30", 450 * USD), ("2026-12-01..31", 900 * USD)]
    assert available(organization) == (2_000 - 450 + 50 - 900 + 100) * USD
    clock.move_to(at(2027, 1, 1, 2))
    assert_all_invoiced(organization, date(2027, 1, 1))
    november = Invoice.objects.get(month=date(2026, 11, 1))
    assert [(line.kind, line.model, line.amount_nanos) for line in november.lines.all()] == [
        ("fee", "Acme Large", 450 * USD), ("credit", "Acme Large", -50 * USD),
    ]  # fmt: skip


def test_up_down_and_up_again_in_one_month_is_paid_once(clock) -> None:
    organization = scenes.make_organization(credit_nanos=500 * USD)
    for slug, kind in (
        ("pro", ChangeKind.NOW), ("business", ChangeKind.NOW), ("pro", ChangeKind.LATER),
        ("business", ChangeKind.KEEP), ("starter", ChangeKind.LATER), ("pro", ChangeKind.LATER),
    ):  # fmt: skip
        assert subscriptions.quote(now(organization), plan(slug)).kind == kind, slug
        subscriptions.change_plan(organization, plan(slug))
    assert sum(nanos for _, nanos in fees(organization)) == 200 * USD
    clock.move_to(at(2026, 12, 1, 0, 10))
    renewals.run()
    assert (now(organization).plan.slug, fees(organization)[-1][1]) == ("pro", 20 * USD)
