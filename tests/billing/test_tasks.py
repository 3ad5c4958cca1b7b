from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from accounts import mail as mails
from accounts import users
from accounts.models import Membership, Role
from billing import batches, ledger, proof, statements, tasks
from billing.models import (
    Account,
    AccountDelta,
    StreamProgress,
    Subscription,
    Sweep,
    Transfer,
    TransferKind,
    UsageDay,
    UsageRecord,
)
from config.celery import app
from tests.billing import scenes

pytestmark = pytest.mark.django_db

LOW = 400_000_000  # below the configured half dollar


@pytest.fixture
def organization():
    return scenes.make_organization(credit_nanos=LOW)


def _top_up(organization, nanos: int) -> None:
    ledger.credit(Account.objects.get(organization=organization), nanos, kind=TransferKind.TOP_UP)


def _spend(organization, nanos: int) -> None:
    wallet = Account.objects.get(organization=organization)
    ledger.debit(wallet, nanos, kind=TransferKind.ADJUSTMENT)


def _assert_proven() -> None:
    assert [check.name for check in proof.prove() if not check.is_ok] == []


def test_every_scheduled_task_exists_and_its_message_expires() -> None:
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] <= entry["schedule"]


@pytest.fixture(autouse=True)
def steady() -> Sweep:
    """Workers have looked for expired holds all the time, the last one two seconds ago."""
    now = timezone.now()
    return Sweep.objects.create(
        id=1, seen_at=now - timedelta(seconds=2), steady_since=now - timedelta(hours=1)
    )


@pytest.mark.parametrize("seconds", [-3600, 36, 3600])
def test_expire_holds_waits_after_a_gap_in_which_nobody_could_look(
    steady: Sweep, seconds: int
) -> None:
    # The database froze, every worker was away, or the clock was set back.
    Sweep.objects.update(seen_at=timezone.now() - timedelta(seconds=seconds))
    scenes.authorize(scenes.Request(scenes.make_organization()), hold_seconds=-1)
    assert tasks.expire_holds() == 0
    Sweep.objects.update(steady_since=timezone.now() - timedelta(seconds=11))
    assert tasks.expire_holds() == 1


def test_expire_holds_waits_where_nobody_has_looked_before() -> None:
    Sweep.objects.all().delete()
    scenes.authorize(scenes.Request(scenes.make_organization()), hold_seconds=-1)
    assert tasks.expire_holds() == 0


def test_a_hold_that_expired_after_the_look_is_not_due() -> None:
    scenes.authorize(scenes.Request(scenes.make_organization()), hold_seconds=-1)
    assert ledger.expire_due(until=timezone.now() - timedelta(seconds=30)) == 0
    assert ledger.expire_due() == 1


def test_expire_holds_releases_a_hold_whose_gateway_is_gone() -> None:
    organization = scenes.make_organization()
    request_id = scenes.authorize(scenes.Request(organization), hold_seconds=-1)
    running = scenes.authorize(scenes.Request(organization))
    assert tasks.expire_holds() == 1
    assert Transfer.objects.get(pk=request_id).state == "expired"
    assert Transfer.objects.get(pk=running).state == "pending"
    record = UsageRecord.objects.get(pk=request_id)
    assert (record.charge_nanos, record.billing_reason) == (0, "gateway_lost")
    assert tasks.expire_holds() == 0
    _assert_proven()


def test_expire_holds_charges_the_progress_last_saved() -> None:
    organization = scenes.make_organization()
    request = scenes.Request(organization, billing_reason="gateway_lost")
    request_id = scenes.authorize(request)
    facts = scenes.facts(request, request_id)
    progress = batches.progress_parameters([batches.Progress(request_id, facts)], -1)
    with connection.cursor() as cursor:
        cursor.execute(statements.SAVE_PROGRESS, progress)
    assert StreamProgress.objects.get().charge_nanos == scenes.PLUS_CHARGE_NANOS
    assert tasks.expire_holds() == 1
    assert Transfer.objects.get(pk=request_id).amount_nanos == scenes.PLUS_CHARGE_NANOS
    assert UsageRecord.objects.get(pk=request_id).billing_reason == "gateway_lost"
    _assert_proven()


def test_fold_deltas_goes_on_until_few_are_left(monkeypatch) -> None:
    monkeypatch.setattr(tasks, "_FOLDED_AT_ONCE", 2)
    wallet = Account.objects.get(organization=scenes.make_organization())
    for _ in range(5):
        ledger.credit(wallet, 10, kind=TransferKind.TOP_UP)
    waiting = AccountDelta.objects.count()
    assert waiting >= 5
    assert tasks.fold_deltas() == waiting
    assert not AccountDelta.objects.exists()


def test_fold_deltas_moves_the_outbox_into_the_accounts() -> None:
    scenes.use(scenes.make_organization())
    waiting = AccountDelta.objects.count()
    assert waiting > 0
    assert tasks.fold_deltas() == waiting
    assert not AccountDelta.objects.exists()
    assert Account.objects.get(kind="revenue").credits_posted == scenes.PLUS_CHARGE_NANOS


@pytest.mark.django_db(transaction=True)
def test_roll_up_usage_adds_new_records() -> None:
    scenes.use(scenes.make_organization())
    scenes.wait_until_visible()
    assert tasks.roll_up_usage() == 1
    assert UsageDay.objects.get().requests == 1
    _assert_proven()


def test_close_months_with_nothing_due_makes_nothing() -> None:
    scenes.use(scenes.make_organization())
    assert tasks.close_months() == 0


def test_a_low_balance_is_mailed_to_owner_and_billing_members_each_alone(organization) -> None:
    for email, role in (("bob@example.com", Role.BILLING), ("dev@example.com", Role.DEVELOPER)):
        member = users.find_or_create(email).user
        Membership.objects.create(organization=organization, user=member, role=role)
    assert tasks.mail_low_balances() == 1
    mails.deliver()
    assert sorted(message.to for message in mail.outbox) == [
        ["alice@example.com"],
        ["bob@example.com"],
    ]
    message: Any = mail.outbox[0]
    assert message.subject == "Low balance: Alice's has $0.40 left"
    assert "below $0.50" in message.body
    [(html, kind)] = message.alternatives
    assert kind == "text/html" and "$0.40" in html and "Alice&#x27;s" in html


def test_a_dip_is_mailed_once_and_the_next_dip_again(organization) -> None:
    assert tasks.mail_low_balances() == 1
    assert tasks.mail_low_balances() == 0
    _top_up(organization, scenes.USD)
    assert tasks.mail_low_balances() == 0
    assert Subscription.objects.get().low_balance_mailed_at is None
    _spend(organization, scenes.USD)
    assert tasks.mail_low_balances() == 1
    mails.deliver()
    assert len(mail.outbox) == 2


def test_a_hold_is_no_dip_and_a_full_wallet_no_mail() -> None:
    organization = scenes.make_organization(credit_nanos=scenes.USD)
    scenes.authorize(scenes.Request(organization, held_nanos=900_000_000))
    assert tasks.mail_low_balances() == 0


def test_exactly_the_threshold_is_not_low(settings) -> None:
    scenes.make_organization(credit_nanos=settings.LOW_BALANCE_NANOS)
    assert tasks.mail_low_balances() == 0


def test_a_wallet_never_filled_and_a_suspended_organization_get_no_mail(organization) -> None:
    scenes.make_organization("New", credit_nanos=0)
    organization.suspended_at = timezone.now() - timedelta(days=1)
    organization.save()
    assert tasks.mail_low_balances() == 0


def test_a_name_with_a_line_break_makes_no_second_header(organization) -> None:
    organization.name = "Evil\r\nBcc: all@example.com"
    organization.save()
    assert tasks.mail_low_balances() == 1
    mails.deliver()
    assert "\n" not in mail.outbox[0].subject
