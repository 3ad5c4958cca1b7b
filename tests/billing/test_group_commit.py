"""The gateway's door to the ledger, on a real database, with many callers at once."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Organization
from billing import ids, ledger, proof
from billing.batches import Authorization, Capture, Hold, UsageFacts
from billing.group_commit import GroupCommit
from billing.ledger import BudgetExceeded, InsufficientFunds, LedgerUnavailable
from billing.models import KeyBudget, Transfer, TransferKind, UsageRecord
from tests.billing import commits, scenes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization() -> Organization:
    return scenes.make_organization(credit_nanos=1_000)


async def test_many_callers_on_funds_for_ten_admit_ten(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        answers = await asyncio.gather(
            *[commit.authorize(commits.authorization(wallet, 100)) for _ in range(200)],
            return_exceptions=True,
        )
    granted = [answer for answer in answers if isinstance(answer, Hold)]
    refused = [answer for answer in answers if isinstance(answer, InsufficientFunds)]
    await wallet.arefresh_from_db()
    assert (len(granted), len(refused)) == (10, 190)
    assert wallet.available_nanos == 0


async def test_a_capture_posts_the_charge_and_releases_the_rest(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
        await commit.capture(commits.capture_of(hold, organization, 42))
    await wallet.arefresh_from_db()
    record = await UsageRecord.objects.aget(pk=hold.id)
    assert (wallet.available_nanos, wallet.debits_pending) == (958, 0)
    assert await commits.state_of(hold.id) == ("posted", 42)
    assert record.error_code == 'a "quoted" \\ text'


async def test_a_capture_of_nothing_voids_the_hold(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
        await commit.capture(commits.capture_of(hold, organization, 0))
    assert await commits.state_of(hold.id) == ("voided", 0)


async def test_the_same_capture_again_charges_once(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
        item = commits.capture_of(hold, organization, 42)
        await asyncio.gather(*[commit.capture(item) for _ in range(5)])
        await commit.capture(item)
    await wallet.arefresh_from_db()
    assert wallet.debits_posted == 42
    assert await UsageRecord.objects.acount() == 1


async def test_a_charge_above_its_hold_takes_what_is_available_and_books_the_rest_as_loss(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
        await commit.capture(commits.capture_of(hold, organization, 1_500))
    await wallet.arefresh_from_db()
    assert wallet.available_nanos == 0
    assert await commits.state_of(ids.excess_of(hold.id)) == ("posted", 900)
    loss = await Transfer.objects.aget(pk=ids.loss_of(hold.id))
    assert (loss.kind, loss.amount_nanos) == (TransferKind.USAGE_LOSS, 500)


async def test_without_an_explicit_limit_the_rest_of_the_wallet_is_held(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 5_000, minimum_nanos=10))
        with pytest.raises(InsufficientFunds) as refusal:
            await commit.authorize(commits.authorization(wallet, 5_000, minimum_nanos=10))
    assert hold.amount_nanos == 1_000
    assert refusal.value.available_nanos == 0


async def test_a_capped_key_stops_at_its_cap_and_gets_back_what_it_did_not_spend(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    key = await sync_to_async(commits.make_key)(organization, spend_cap_day_nanos=150)

    def ask(amount: int) -> Authorization:
        return Authorization(ids.uuid7(), wallet.pk, amount, amount, key.pk, cap_day_nanos=150)

    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(ask(100))
        with pytest.raises(BudgetExceeded):
            await commit.authorize(ask(100))
        await commit.capture(commits.capture_of(hold, organization, 20))
        await commit.authorize(ask(100))
    budget = await KeyBudget.objects.aget(pk=key.pk)
    assert (budget.day_nanos, budget.month_nanos) == (120, 120)


async def test_a_capture_after_its_hold_expired_costs_the_operator_and_not_the_customer(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
        await Transfer.objects.filter(pk=hold.id).aupdate(
            expires_at=datetime(2020, 1, 1, tzinfo=UTC)
        )
        assert await sync_to_async(ledger.expire_due)() == 1
        for _ in range(2):
            await commit.capture(commits.capture_of(hold, organization, 42))
    await wallet.arefresh_from_db()
    assert wallet.available_nanos == 1_000
    assert await commits.state_of(ids.late_of(hold.id)) == ("posted", 42)


async def test_a_poisoned_item_fails_alone(organization: Organization, tmp_path: Path) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        holds = [await commit.authorize(commits.authorization(wallet, 100)) for _ in range(3)]
        items = [commits.capture_of(hold, organization, 10) for hold in holds]
        poisoned = Capture(
            UsageFacts(**{**commits.fields_of(items[1].facts), "model": "nul\0"}),
            wallet.pk, 100, False, items[1].held_at,
        )  # fmt: skip
        outcomes = await asyncio.gather(
            commit.capture(items[0]), commit.capture(poisoned), commit.capture(items[2]),
            return_exceptions=True,
        )  # fmt: skip
    assert isinstance(outcomes[1], LedgerUnavailable)
    assert (outcomes[0], outcomes[2]) == (None, None)
    assert await UsageRecord.objects.acount() == 2


async def test_the_ledger_is_proven_after_random_traffic(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)

    async def one(commit: GroupCommit, number: int) -> None:
        try:
            hold = await commit.authorize(commits.authorization(wallet, 10 + number % 90))
        except InsufficientFunds:
            return
        if number % 7:
            await commit.capture(commits.capture_of(hold, organization, 0))

    async with commits.running(tmp_path) as commit:
        await asyncio.gather(*[one(commit, number) for number in range(300)])
    checks = await sync_to_async(proof.prove)()
    failed = [check.name for check in checks if not check.is_ok]
    assert failed == []
