"""An organization's cap on a month: what the ledger holds it to, who may set it, and the mail."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import mail
from accounts.models import AuditEntry, Organization
from billing import ledger, proof, spend_caps
from billing.batches import Authorization, Hold
from billing.group_commit import GroupCommit
from billing.ledger import BudgetExceeded, InsufficientFunds, SpendCapExceeded
from billing.models import Account, Subscription, Transfer
from tests import factories
from tests.billing import commits, moved_clock, scenes


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    made = scenes.make_organization(credit_nanos=1_000)
    assert spend_caps.change(made, 150)
    return made


def wallet_of(organization: Organization) -> Account:
    return Account.objects.get(organization=organization)


async def ask(organization: Organization, amount: int, **changes: int) -> Authorization:
    return commits.authorization(await sync_to_async(wallet_of)(organization), amount, **changes)


async def counted(organization: Organization) -> int:
    return (await sync_to_async(wallet_of)(organization)).usage_month_nanos


async def end(commit: GroupCommit, hold: Hold, organization: Organization, charge: int) -> None:
    await commit.capture(await sync_to_async(commits.capture_of)(hold, organization, charge))


def accused() -> list[str]:
    """What the proof says of accounts; only this check reads what these tests make."""
    [check] = [check for check in proof.prove() if check.name == "accounts"]
    assert check.checked
    return check.first


# --- the ledger ---------------------------------------------------------------------------------


async def test_holds_count_and_what_a_charge_leaves_of_them_comes_back(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 100))
        with pytest.raises(SpendCapExceeded) as refusal:
            await commit.authorize(await ask(organization, 51, api_key_id=2))
        await end(commit, hold, organization, 20)
        await commit.authorize(await ask(organization, 130, api_key_id=2))
    assert (refusal.value.needed_nanos, refusal.value.available_nanos) == (51, 50)
    assert await counted(organization) == 150
    assert await sync_to_async(accused)() == []


@pytest.mark.parametrize("processes", [1, 3])
async def test_parallel_requests_never_pass_the_cap_and_use_all_of_it(
    organization: Organization, tmp_path: Path, processes: int
) -> None:
    items = [await ask(organization, 30, api_key_id=number % 3) for number in range(60)]
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(commits.running(tmp_path / str(n)))
            for n in range(processes)
        ]
        answers = await asyncio.gather(
            *[running[n % processes].authorize(item) for n, item in enumerate(items)],
            return_exceptions=True,
        )
        holds = [answer for answer in answers if isinstance(answer, Hold)]
        assert sum(isinstance(answer, SpendCapExceeded) for answer in answers) == 55
        assert len(holds) == 5
        assert await counted(organization) == 150
        for hold in holds:
            await end(running[0], hold, organization, 29)
    assert await counted(organization) == 145
    assert await sync_to_async(accused)() == []


async def test_what_the_cap_leaves_is_held_where_the_request_named_no_limit(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        items = [await ask(organization, 100, minimum_nanos=10) for _ in range(3)]
        answers = await asyncio.gather(
            *[commit.authorize(item) for item in items], return_exceptions=True
        )
    assert sorted(one.amount_nanos for one in answers if isinstance(one, Hold)) == [50, 100]
    assert await counted(organization) == 150


async def test_a_cap_holds_at_once_for_gateways_that_run(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        await commit.authorize(await ask(organization, 100))
        await sync_to_async(spend_caps.change)(organization, 99)
        with pytest.raises(SpendCapExceeded) as lowered:
            await commit.authorize(await ask(organization, 1))
        await sync_to_async(spend_caps.change)(organization, None)
        await commit.authorize(await ask(organization, 800))
    assert lowered.value.available_nanos == 0
    assert await counted(organization) == 900, "and it was counted without a cap, too"


async def test_the_nearest_of_wallet_cap_and_key_is_the_one_named(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        with pytest.raises(InsufficientFunds) as by_wallet:
            await commit.authorize(await ask(organization, 2_000))
        with pytest.raises(SpendCapExceeded):
            await commit.authorize(await ask(organization, 200, cap_day_nanos=500))
        with pytest.raises(BudgetExceeded) as by_key:
            await commit.authorize(await ask(organization, 100, cap_day_nanos=50))
    assert type(by_wallet.value) is InsufficientFunds
    assert type(by_key.value) is BudgetExceeded
    assert await Transfer.objects.filter(kind="usage").acount() == 0


async def test_what_a_request_costs_above_its_hold_stays_within_the_cap(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 100))
        await end(commit, hold, organization, 400)
    assert await counted(organization) == 150
    loss = await Transfer.objects.aget(kind="usage_loss")
    assert loss.amount_nanos == 250, "the operator bears what neither paid for"
    assert await sync_to_async(accused)() == []


async def test_a_hold_that_expires_gives_back_what_it_counted(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 100))
    await Transfer.objects.filter(pk=hold.id).aupdate(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert await sync_to_async(ledger.expire_due)() == 1
    assert await counted(organization) == 0
    assert await sync_to_async(accused)() == []


@pytest.fixture
def clock(organization: Organization) -> Iterator[None]:
    with moved_clock.clock():
        yield


async def test_the_month_turns_on_the_first_and_each_charge_stays_in_its_own(
    organization: Organization, clock: None, tmp_path: Path
) -> None:
    set_to = sync_to_async(moved_clock.set_to)
    await set_to(datetime(2031, 1, 31, 23, 59, 50, tzinfo=UTC))
    async with commits.running(tmp_path) as commit:
        january = await commit.authorize(await ask(organization, 140))
        with pytest.raises(SpendCapExceeded):
            await commit.authorize(await ask(organization, 40))
        assert await sync_to_async(accused)() == []

        await set_to(datetime(2031, 2, 1, 0, 0, 1, tzinfo=UTC))
        february = await commit.authorize(await ask(organization, 120))
        assert await counted(organization) == 120, "nothing of January counts"
        await end(commit, january, organization, 10)
        assert await counted(organization) == 120, "nor does it give anything back to February"
        with pytest.raises(SpendCapExceeded):
            await commit.authorize(await ask(organization, 31))
        await end(commit, february, organization, 20)
        assert await counted(organization) == 20
    wallet = await sync_to_async(wallet_of)(organization)
    assert wallet.usage_month == date(2031, 2, 1)
    assert await sync_to_async(accused)() == []


async def test_a_statement_that_began_in_the_old_month_counts_in_the_new(
    organization: Organization, clock: None, tmp_path: Path
) -> None:
    """It waited for one of the new month at the wallet's row."""
    await sync_to_async(moved_clock.set_to)(datetime(2031, 1, 31, 23, 59, 59, tzinfo=UTC))
    february = date(2031, 2, 1)
    await Account.objects.filter(organization=organization).aupdate(
        usage_month=february, usage_month_nanos=0
    )
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 100))
        with pytest.raises(SpendCapExceeded):
            await commit.authorize(await ask(organization, 100))
    row = await Transfer.objects.aget(pk=hold.id)
    assert row.created_at == datetime(2031, 2, 1, tzinfo=UTC)
    await sync_to_async(moved_clock.set_to)(datetime(2031, 2, 1, 0, 0, 1, tzinfo=UTC))
    assert await sync_to_async(accused)() == []


def test_the_proof_finds_a_count_that_was_changed(organization: Organization) -> None:
    scenes.authorize(scenes.Request(organization, held_nanos=100))
    assert accused() == []
    scenes.execute("UPDATE billing_account SET usage_month_nanos = 99 WHERE kind = 'wallet'")
    [said] = accused()
    assert "month's usage 99 of 100" in said
    scenes.execute("UPDATE billing_account SET usage_month = NULL, usage_month_nanos = 0")
    assert accused() == [], "of a month that nothing counts in, it says nothing"


# --- the page -----------------------------------------------------------------------------------


@pytest.fixture
def cast(db: None) -> factories.Cast:
    cache.clear()
    return factories.cast()


@pytest.fixture
def owner(client: Client, cast: factories.Cast) -> Client:
    client.force_login(cast.alice)
    return client


def test_the_cap_is_set_changed_and_taken_away_and_each_is_recorded(owner, cast) -> None:
    for typed, nanos in (("12.5", 12_500_000_000), ("0", 0), ("", None)):
        answer = owner.post("/billing/limits/cap", {"cap_nanos": typed}, follow=True)
        assert answer.status_code == 200
        assert wallet_of(cast.organization).usage_cap_month_nanos == nanos
    owner.post("/billing/limits/cap", {"cap_nanos": ""})  # as it was: nothing to record
    entries = AuditEntry.objects.filter(action="spend_cap.changed").order_by("sequence")
    assert [(one.details["before_nanos"], one.details["after_nanos"]) for one in entries] == [
        (None, 12_500_000_000), (12_500_000_000, 0), (0, None),
    ]  # fmt: skip


@pytest.mark.parametrize("typed", ["-1", "much", "1e30"])
def test_what_is_no_amount_is_said_beside_the_field(owner, cast, typed: str) -> None:
    spend_caps.change(cast.organization, 5)
    answer = owner.post("/billing/limits/cap", {"cap_nanos": typed})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert 'id="id_cap_nanos_error"' in page and f'value="{typed}"' in page
    assert wallet_of(cast.organization).usage_cap_month_nanos == 5


def test_developers_and_viewers_set_no_cap(client: Client, cast) -> None:
    for person, status in ((cast.bob, 403), (cast.victor, 403), (cast.bella, 302)):
        client.force_login(person)
        assert client.post("/billing/limits/cap", {"cap_nanos": "1"}).status_code == status
    assert AuditEntry.objects.get(action="spend_cap.changed").actor_email == cast.bella.email


def test_charlie_caps_his_own_organization_alone(client: Client, cast) -> None:
    client.force_login(cast.charlie)
    client.post("/billing/limits/cap", {"cap_nanos": "1"})
    assert wallet_of(cast.organization).usage_cap_month_nanos is None


def test_pages_show_how_much_of_the_cap_is_used_and_that_it_refuses(owner, cast) -> None:
    spend_caps.change(cast.organization, 4 * factories.USD)
    month = timezone.now().date().replace(day=1)
    Account.objects.filter(organization=cast.organization).update(
        usage_month=month, usage_month_nanos=3 * factories.USD
    )
    page = owner.get("/billing/limits").content.decode()
    assert "<b>$3.00</b> of $4.00 this month" in page
    assert "75 percent of the cap are used" in page
    assert "of a cap of $4.00" in owner.get("/billing").content.decode()
    assert "cap refuses requests" not in owner.get("/overview").content.decode()
    Subscription.objects.update(cap_reached_at=timezone.now())
    assert "the cap of $4.00 refuses requests" in owner.get("/billing").content.decode()
    assert "$3.00 of $4.00 are used" in owner.get("/overview").content.decode()


# --- the mail -----------------------------------------------------------------------------------


def refuse(organization: Organization) -> None:
    """As a gateway notes it."""
    scenes.execute(spend_caps.NOTE_REACHED, [organization.pk])


def test_a_refusal_is_mailed_once_a_month_and_again_for_another_cap(cast, mailoutbox) -> None:
    spend_caps.change(cast.organization, factories.USD)
    assert spend_caps.mail_reached() == 0
    for expected in (1, 0):
        refuse(cast.organization)
        assert spend_caps.mail_reached() == expected
    mail.deliver()
    assert {one.to[0] for one in mailoutbox} == {cast.alice.email, cast.bella.email}
    assert "cap is $1.00 a month" in str(mailoutbox[0].alternatives[0][0])
    spend_caps.change(cast.organization, 2 * factories.USD)
    assert spend_caps.mail_reached() == 0
    refuse(cast.organization)
    assert spend_caps.mail_reached() == 1


def test_the_next_month_is_told_of_anew(cast) -> None:
    spend_caps.change(cast.organization, factories.USD)
    before = datetime(2020, 1, 5, tzinfo=UTC)
    Subscription.objects.update(cap_reached_at=before, cap_mailed_at=before)
    assert spend_caps.mail_reached() == 0
    refuse(cast.organization)
    assert spend_caps.mail_reached() == 1


def test_who_has_no_cap_is_told_of_none(cast) -> None:
    refuse(cast.organization)
    assert Subscription.objects.filter(cap_reached_at__isnull=False).count() == 0


def test_the_migration_counts_what_the_month_has_used_so_far(organization: Any) -> None:
    import importlib

    fill = importlib.import_module("billing.migrations.0021_fill_usage_caps").FILL
    count = fill.partition(";")[2]
    scenes.authorize(scenes.Request(organization, held_nanos=100))
    scenes.execute("UPDATE billing_account SET usage_month = NULL, usage_month_nanos = 0")
    scenes.execute(count)
    assert wallet_of(organization).usage_month_nanos == 100
    assert accused() == []
