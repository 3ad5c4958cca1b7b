"""The gateway's door to the ledger, on a real database, with many callers at once."""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from accounts import keys
from accounts.models import ApiKey, Organization
from billing import careful, ids, ledger, proof
from billing.batches import Authorization, Capture, Hold, UsageFacts
from billing.group_commit import GroupCommit
from billing.ledger import BudgetExceeded, InsufficientFunds, LedgerUnavailable
from billing.models import Account, KeyBudget, Transfer, TransferKind, UsageRecord
from billing.spool import Spool
from tests.billing import scenes

pytestmark = pytest.mark.django_db(transaction=True)


def _dsn() -> str:
    options = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(
        **{name: options[name] for name in names if options.get(name) is not None}
    )


@asynccontextmanager
async def _running(tmp_path: Path, dsn: str = "") -> AsyncIterator[GroupCommit]:
    commit = GroupCommit(
        dsn or await sync_to_async(_dsn)(),
        Spool(tmp_path / "spool"),
        hold_seconds=45,
        authorize_timeout_seconds=0.9,
    )
    await commit.start()
    try:
        yield commit
    finally:
        await commit.stop()


@pytest.fixture
def organization() -> Organization:
    return scenes.make_organization(credit_nanos=1_000)


def _key(organization: Organization, **caps: int) -> ApiKey:
    project = organization.projects.get(name="Default")
    return keys.create(project, "k", **caps).row  # type: ignore[arg-type]


def _wallet(organization: Organization) -> Account:
    return Account.objects.get(organization=organization)


def _authorization(wallet: Account, amount: int, **changes: int) -> Authorization:
    fields = {"minimum_nanos": amount, "api_key_id": 1, **changes}
    return Authorization(ids.uuid7(), wallet.pk, amount, **fields)


def _capture(hold: Hold, organization: Organization, charge: int) -> Capture:
    facts = UsageFacts(
        hold.id, organization.pk, 0, hold.api_key_id, "qwen-plus", "p", None, 0, 1_000_000,
        0, 0, 0, 0, 0, charge, "completed", False, False, 200, 'a "quoted" \\ text', 1, None, 5,
        datetime.now(UTC),
    )  # fmt: skip
    return Capture(facts, hold.wallet_id, hold.amount_nanos, hold.is_capped, hold.held_at)


async def _state(request_id: uuid.UUID) -> tuple[str, int]:
    row = await Transfer.objects.aget(pk=request_id)
    return row.state, row.amount_nanos


async def test_many_callers_on_funds_for_ten_admit_ten(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        answers = await asyncio.gather(
            *[commit.authorize(_authorization(wallet, 100)) for _ in range(200)],
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
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
        await commit.capture(_capture(hold, organization, 42))
    await wallet.arefresh_from_db()
    record = await UsageRecord.objects.aget(pk=hold.id)
    assert (wallet.available_nanos, wallet.debits_pending) == (958, 0)
    assert await _state(hold.id) == ("posted", 42)
    assert record.error_code == 'a "quoted" \\ text'


async def test_a_capture_of_nothing_voids_the_hold(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
        await commit.capture(_capture(hold, organization, 0))
    assert await _state(hold.id) == ("voided", 0)


async def test_the_same_capture_again_charges_once(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
        item = _capture(hold, organization, 42)
        await asyncio.gather(*[commit.capture(item) for _ in range(5)])
        await commit.capture(item)
    await wallet.arefresh_from_db()
    assert wallet.debits_posted == 42
    assert await UsageRecord.objects.acount() == 1


async def test_a_charge_above_its_hold_takes_what_is_available_and_books_the_rest_as_loss(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
        await commit.capture(_capture(hold, organization, 1_500))
    await wallet.arefresh_from_db()
    assert wallet.available_nanos == 0
    assert await _state(ids.excess_of(hold.id)) == ("posted", 900)
    loss = await Transfer.objects.aget(pk=ids.loss_of(hold.id))
    assert (loss.kind, loss.amount_nanos) == (TransferKind.USAGE_LOSS, 500)


async def test_without_an_explicit_limit_the_rest_of_the_wallet_is_held(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 5_000, minimum_nanos=10))
        with pytest.raises(InsufficientFunds) as refusal:
            await commit.authorize(_authorization(wallet, 5_000, minimum_nanos=10))
    assert hold.amount_nanos == 1_000
    assert refusal.value.available_nanos == 0


async def test_a_capped_key_stops_at_its_cap_and_gets_back_what_it_did_not_spend(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    key = await sync_to_async(_key)(organization, spend_cap_day_nanos=150)

    def ask(amount: int) -> Authorization:
        return Authorization(ids.uuid7(), wallet.pk, amount, amount, key.pk, cap_day_nanos=150)

    async with _running(tmp_path) as commit:
        hold = await commit.authorize(ask(100))
        with pytest.raises(BudgetExceeded):
            await commit.authorize(ask(100))
        await commit.capture(_capture(hold, organization, 20))
        await commit.authorize(ask(100))
    budget = await KeyBudget.objects.aget(pk=key.pk)
    assert (budget.day_nanos, budget.month_nanos) == (120, 120)


async def test_a_capture_after_its_hold_expired_costs_the_operator_and_not_the_customer(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
        await Transfer.objects.filter(pk=hold.id).aupdate(
            expires_at=datetime(2020, 1, 1, tzinfo=UTC)
        )
        assert await sync_to_async(ledger.expire_due)() == 1
        for _ in range(2):
            await commit.capture(_capture(hold, organization, 42))
    await wallet.arefresh_from_db()
    assert wallet.available_nanos == 1_000
    assert await _state(ids.late_of(hold.id)) == ("posted", 42)


async def test_a_poisoned_item_fails_alone(organization: Organization, tmp_path: Path) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        holds = [await commit.authorize(_authorization(wallet, 100)) for _ in range(3)]
        items = [_capture(hold, organization, 10) for hold in holds]
        poisoned = Capture(
            UsageFacts(**{**_fields(items[1].facts), "model": "nul\0"}),
            wallet.pk, 100, False, items[1].held_at,
        )  # fmt: skip
        outcomes = await asyncio.gather(
            commit.capture(items[0]), commit.capture(poisoned), commit.capture(items[2]),
            return_exceptions=True,
        )  # fmt: skip
    assert isinstance(outcomes[1], LedgerUnavailable)
    assert (outcomes[0], outcomes[2]) == (None, None)
    assert await UsageRecord.objects.acount() == 2


def _fields(facts: UsageFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__struct_fields__}


async def test_captures_while_the_database_is_away_are_spooled_and_replayed(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with (
        _proxied(await sync_to_async(_dsn)()) as proxy,
        _running(tmp_path, proxy.dsn) as commit,
    ):
        hold = await commit.authorize(_authorization(wallet, 100))
        proxy.cut()
        await asyncio.wait_for(commit.capture(_capture(hold, organization, 42)), 5)
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(commit.authorize(_authorization(wallet, 100)), 1)
        assert await _state(hold.id) == ("pending", 0)
        proxy.mend()
        await _until(lambda: commit.is_available)
        await _until_async(lambda: _state(hold.id), ("posted", 42))
    assert list((tmp_path / "spool").iterdir()) == []
    assert await UsageRecord.objects.acount() == 1


async def test_a_database_that_does_not_answer_refuses_within_a_second_and_comes_back(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        await commit.authorize(_authorization(wallet, 100))
        assert commit._link is not None
        backend = commit._link.batches.connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailable):
                await asyncio.wait_for(commit.authorize(_authorization(wallet, 100)), 2)
            await _until(lambda: commit._link is None or commit.is_available)
        finally:
            os.kill(backend, signal.SIGCONT)
        await _until(lambda: commit.is_available)
        hold = await commit.authorize(_authorization(wallet, 100))
    assert hold.amount_nanos == 100


async def test_a_replay_that_breaks_off_is_taken_up_again(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
    Spool(tmp_path / "spool").write([_capture(hold, organization, 42)])
    real, outcomes = careful.capture, [psycopg.OperationalError("gone again"), None]

    async def breaking(*arguments: Any) -> None:
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome
        await real(*arguments)

    monkeypatch.setattr(careful, "capture", breaking)
    async with _running(tmp_path) as commit:
        # The connection that broke under the replay is found out by the next commit.
        assert commit._link is not None
        commit._link.shut()
        with suppress(LedgerUnavailable):
            await commit.authorize(_authorization(wallet, 100))
        await _until_async(lambda: _state(hold.id), ("posted", 42))
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_poisoned_line_in_the_spool_does_not_keep_the_ledger_away(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        holds = [await commit.authorize(_authorization(wallet, 100)) for _ in range(2)]
    items = [_capture(hold, organization, 10) for hold in holds]
    poisoned = Capture(
        UsageFacts(**{**_fields(items[0].facts), "model": "nul\0"}),
        wallet.pk, 100, False, items[0].held_at,
    )  # fmt: skip
    Spool(tmp_path / "spool").write([poisoned, items[1]])
    async with _running(tmp_path) as commit:
        assert commit.is_available
    assert await _state(holds[1].id) == ("posted", 10)
    assert [path.suffix for path in (tmp_path / "spool").iterdir()] == [".refused"]


async def test_a_caller_that_is_cancelled_does_not_take_the_captures_of_others_with_it(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        holds = [await commit.authorize(_authorization(wallet, 100)) for _ in range(2)]
    # Stopped: nobody commits, so what is captured is spooled by its caller.
    real = commit._spool.write

    def slow(items: Any) -> None:
        time.sleep(0.2)
        real(items)

    monkeypatch.setattr(commit._spool, "write", slow)
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    commit._captures.append((_capture(holds[0], organization, 1), waiter))
    caller = asyncio.ensure_future(commit.capture(_capture(holds[1], organization, 1)))
    await asyncio.sleep(0.05)
    caller.cancel()
    await asyncio.wait_for(waiter, 2)


async def test_a_hung_commit_whose_connection_is_gone_leaves_the_watch_alive(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        assert commit._link is not None
        commit._link.batches.close()
        commit._abandon_commit()
        commit._is_down = False
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(commit.authorize(_authorization(wallet, 100)), 2)
        await _until(lambda: commit.is_available)
        assert (await commit.authorize(_authorization(wallet, 100))).amount_nanos == 100


async def test_a_capture_after_the_stop_is_spooled(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)
    async with _running(tmp_path) as commit:
        hold = await commit.authorize(_authorization(wallet, 100))
    await asyncio.wait_for(commit.capture(_capture(hold, organization, 42)), 2)
    assert len(list((tmp_path / "spool").glob("*.jsonl"))) == 1


async def test_the_ledger_is_proven_after_random_traffic(
    organization: Organization, tmp_path: Path
) -> None:
    wallet = await sync_to_async(_wallet)(organization)

    async def one(commit: GroupCommit, number: int) -> None:
        try:
            hold = await commit.authorize(_authorization(wallet, 10 + number % 90))
        except InsufficientFunds:
            return
        if number % 7:
            await commit.capture(_capture(hold, organization, 0))

    async with _running(tmp_path) as commit:
        await asyncio.gather(*[one(commit, number) for number in range(300)])
    checks = await sync_to_async(proof.prove)()
    failed = [check.name for check in checks if not check.is_ok]
    assert failed == []


async def _until(condition: object, seconds: float = 6) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _until_async(question: object, wanted: object, seconds: float = 6) -> None:
    async with asyncio.timeout(seconds):
        while await question() != wanted:  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class _Proxy:
    """A TCP proxy that can cut its connections and refuse new ones."""

    def __init__(self, dsn: str) -> None:
        self._parts = psycopg.conninfo.conninfo_to_dict(dsn)
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.dsn = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.dsn = psycopg.conninfo.make_conninfo(
            **{**self._parts, "host": "127.0.0.1", "port": port}
        )
        return server

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        host, port = str(self._parts.get("host")), self._parts.get("port", 5432)
        if host.startswith("/"):
            other = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            other = await asyncio.open_connection(host, int(str(port)))
        self._writers |= {writer, other[1]}
        await asyncio.gather(_pump(reader, other[1]), _pump(other[0], writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def _proxied(dsn: str) -> AsyncIterator[_Proxy]:
    proxy = _Proxy(dsn)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()
