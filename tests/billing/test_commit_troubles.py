"""The group commit when the database, a commit or a caller goes away."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async

from accounts.models import Organization
from billing import careful
from billing.batches import Capture, UsageFacts
from billing.ledger import LedgerUnavailable
from billing.models import UsageRecord
from billing.spool import Spool
from tests.billing import commits, scenes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization() -> Organization:
    return scenes.make_organization(credit_nanos=1_000)


async def test_captures_while_the_database_is_away_are_spooled_and_replayed(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with (
        commits.proxied(await sync_to_async(commits.own_dsn)()) as proxy,
        commits.running(tmp_path, proxy.dsn) as commit,
    ):
        hold = await commit.authorize(commits.authorization(wallet, 100))
        proxy.cut()
        await asyncio.wait_for(commit.capture(commits.capture_of(hold, organization, 42)), 5)
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(commit.authorize(commits.authorization(wallet, 100)), 1)
        assert await commits.state_of(hold.id) == ("pending", 0)
        proxy.mend()
        await commits.until(lambda: commit.is_available)
        await commits.until_async(lambda: commits.state_of(hold.id), ("posted", 42))
    assert list((tmp_path / "spool").iterdir()) == []
    assert await UsageRecord.objects.acount() == 1


async def test_what_is_still_being_spooled_when_the_database_comes_back_is_replayed_too(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with (
        commits.proxied(await sync_to_async(commits.own_dsn)()) as proxy,
        commits.running(tmp_path, proxy.dsn) as commit,
    ):
        hold = await commit.authorize(commits.authorization(wallet, 100))
        real, may_write = commit._spool.write, threading.Event()

        def slow(items: Sequence[Capture]) -> None:
            may_write.wait(10)
            real(items)

        monkeypatch.setattr(commit._spool, "write", slow)
        proxy.cut()
        with pytest.raises(LedgerUnavailable):
            await commit.authorize(commits.authorization(wallet, 100))
        assert not commit.is_available
        capturing = asyncio.create_task(commit.capture(commits.capture_of(hold, organization, 42)))
        await asyncio.sleep(0)
        proxy.mend()
        await commits.until(lambda: commit.is_available)
        may_write.set()
        await asyncio.wait_for(capturing, 5)
        await commits.until_async(lambda: commits.state_of(hold.id), ("posted", 42))
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_database_that_does_not_answer_refuses_within_a_second_and_comes_back(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        await commit.authorize(commits.authorization(wallet, 100))
        assert commit._link is not None
        backend = commit._link.batches.connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailable):
                await asyncio.wait_for(commit.authorize(commits.authorization(wallet, 100)), 2)
            await commits.until(lambda: commit._link is None or commit.is_available)
        finally:
            os.kill(backend, signal.SIGCONT)
        await commits.until(lambda: commit.is_available)
        hold = await commit.authorize(commits.authorization(wallet, 100))
    assert hold.amount_nanos == 100


async def test_a_replay_that_breaks_off_is_taken_up_again(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
    Spool(tmp_path / "spool").write([commits.capture_of(hold, organization, 42)])
    real, outcomes = careful.capture, [psycopg.OperationalError("gone again"), None]

    async def breaking(*arguments: Any) -> None:
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome
        await real(*arguments)

    monkeypatch.setattr(careful, "capture", breaking)
    async with commits.running(tmp_path) as commit:
        # The connection that broke under the replay is found out by the next commit.
        assert commit._link is not None
        commit._link.shut()
        with suppress(LedgerUnavailable):
            await commit.authorize(commits.authorization(wallet, 100))
        await commits.until_async(lambda: commits.state_of(hold.id), ("posted", 42))
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_poisoned_line_in_the_spool_does_not_keep_the_ledger_away(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        holds = [await commit.authorize(commits.authorization(wallet, 100)) for _ in range(2)]
    items = [commits.capture_of(hold, organization, 10) for hold in holds]
    poisoned = Capture(
        UsageFacts(**{**commits.fields_of(items[0].facts), "model": "nul\0"}),
        wallet.pk, 100, False, items[0].held_at,
    )  # fmt: skip
    Spool(tmp_path / "spool").write([poisoned, items[1]])
    async with commits.running(tmp_path) as commit:
        assert commit.is_available
    assert await commits.state_of(holds[1].id) == ("posted", 10)
    assert [path.suffix for path in (tmp_path / "spool").iterdir()] == [".refused"]


async def test_a_caller_that_is_cancelled_does_not_take_the_captures_of_others_with_it(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        holds = [await commit.authorize(commits.authorization(wallet, 100)) for _ in range(2)]
    # Stopped: nobody commits, so what is captured is spooled by its caller.
    real = commit._spool.write

    def slow(items: Any) -> None:
        time.sleep(0.2)
        real(items)

    monkeypatch.setattr(commit._spool, "write", slow)
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    commit._captures.append((commits.capture_of(holds[0], organization, 1), waiter))
    caller = asyncio.ensure_future(commit.capture(commits.capture_of(holds[1], organization, 1)))
    await asyncio.sleep(0.05)
    caller.cancel()
    await asyncio.wait_for(waiter, 2)


async def test_a_hung_commit_whose_connection_is_gone_leaves_the_watch_alive(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        assert commit._link is not None
        commit._link.batches.close()
        commit._abandon_commit()
        commit._is_down = False
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(commit.authorize(commits.authorization(wallet, 100)), 2)
        await commits.until(lambda: commit.is_available)
        assert (await commit.authorize(commits.authorization(wallet, 100))).amount_nanos == 100


async def test_a_capture_after_the_stop_is_spooled(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(commits.authorization(wallet, 100))
    await asyncio.wait_for(commit.capture(commits.capture_of(hold, organization, 42)), 2)
    assert len(list((tmp_path / "spool").glob("*.jsonl"))) == 1


async def test_a_process_that_stood_still_does_not_take_it_for_a_database_that_is_away(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with commits.running(tmp_path) as commit:
        for _ in range(3):
            asked = asyncio.create_task(commit.authorize(commits.authorization(wallet, 10)))
            await asyncio.sleep(0)
            time.sleep(commit._timeout_seconds + 0.5)  # noqa: ASYNC251 (that is what it is about)
            assert (await asyncio.wait_for(asked, 10)).id
            assert commit.is_available


async def test_after_standing_still_a_database_that_is_away_is_noticed_as_fast_as_ever(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    async with (
        commits.proxied(await sync_to_async(commits.own_dsn)()) as proxy,
        commits.running(tmp_path, proxy.dsn) as commit,
    ):
        await commit.authorize(commits.authorization(wallet, 10))
        time.sleep(1)  # noqa: ASYNC251
        await asyncio.sleep(0.3)
        proxy.cut()
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(
                commit.authorize(commits.authorization(wallet, 10)), commit._timeout_seconds + 1
            )
