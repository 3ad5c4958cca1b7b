"""`python -m tests.faults.ledger_walk`: random walks over the ledger's verbs, against a model.

Two group commits, as of two gateways, share a handful of poor and rich wallets. Every batch runs
hundreds of verbs at once: holds, captures below, at and above them, captures again, progress,
top-ups and debits with idempotency keys, again; connections break in the middle, holds expire.
After each batch everything must add up, in the database and against what callers were told.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    django.setup()

import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import OperationalError, close_old_connections

from accounts import organizations, users
from billing import ids, ledger, proof_statements
from billing.batches import Authorization, Capture, Hold, Progress, UsageFacts
from billing.group_commit import GroupCommit
from billing.ledger import InsufficientFunds, LedgerUnavailable
from billing.models import Account, TransferKind
from billing.spool import Spool

WALLETS = 24
AT_ONCE = 400
BIG = 10**12
SLOW_SHARE = 0.002


@dataclass
class Wallet:
    """One wallet as its owner could know it. Nanos."""

    id: int
    organization_id: int
    credited: int
    debited: int = 0
    # What was charged to it, by request, however it was paid.
    charges: dict[Any, int] = field(default_factory=dict)


@dataclass
class Walk:
    """The model and the doors to the ledger."""

    chance: random.Random
    doors: list[GroupCommit]
    wallets: list[Wallet]
    holds: list[tuple[Wallet, Hold]] = field(default_factory=list)
    captured: list[tuple[Wallet, Capture]] = field(default_factory=list)
    keys: dict[str, tuple[Wallet, int]] = field(default_factory=dict)
    verbs: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def door(self) -> GroupCommit:
        return self.chance.choice(self.doors)

    async def step(self) -> None:
        """One verb, whichever."""
        roll = self.chance.random()
        if roll < SLOW_SHARE:
            await self.move_money()
        elif roll < 0.05:
            self.save_progress()
        elif roll < 0.10 and self.captured:
            await self.capture_again()
        elif roll < 0.55 and self.holds:
            await self.capture()
        else:
            await self.authorize()

    async def authorize(self) -> None:
        wallet, amount = self.chance.choice(self.wallets), self.chance.randrange(1, 2_000)
        minimum = self.chance.choice((amount, max(amount // 3, 1)))
        item = Authorization(ids.uuid7(), wallet.id, amount, minimum, 1)
        try:
            hold = await self.door.authorize(item)
        except (InsufficientFunds, LedgerUnavailable) as error:
            self.verbs[f"authorize: {type(error).__name__}"] += 1
            return
        self.verbs["authorize"] += 1
        if not minimum <= hold.amount_nanos <= amount:
            self.problems.append(f"held {hold.amount_nanos} of {minimum} to {amount}")
        self.holds.append((wallet, hold))

    async def capture(self) -> None:
        at = self.chance.randrange(len(self.holds))
        self.holds[at], self.holds[-1] = self.holds[-1], self.holds[at]
        wallet, hold = self.holds.pop()
        held = hold.amount_nanos
        charge = self.chance.choice((0, held, held // 2, held // 3, held - 1))
        if self.chance.random() < SLOW_SHARE:
            charge = held * 2
        item = Capture(_facts(wallet, hold, charge), wallet.id, held, False, hold.held_at)
        try:
            await self.door.capture(item)
        except LedgerUnavailable:
            self.holds.append((wallet, hold))
            self.verbs["capture: LedgerUnavailable"] += 1
            return
        self.verbs["capture" if charge else "void"] += 1
        wallet.charges[hold.id] = charge
        self.captured.append((wallet, item))

    async def capture_again(self) -> None:
        """A replay: by the same gateway or another, of what is settled already."""
        if len(self.captured) > 5_000:
            del self.captured[:2_500]
        if self.chance.random() > SLOW_SHARE * 10:
            await self.authorize()
            return
        _, item = self.chance.choice(self.captured)
        with suppress(LedgerUnavailable):
            await self.door.capture(item)
        self.verbs["capture again"] += 1

    def save_progress(self) -> None:
        held = self.chance.sample(self.holds, min(len(self.holds), 20))
        self.door.save_progress([Progress(hold.id, None) for _, hold in held])
        self.verbs["extend"] += 1

    async def move_money(self) -> None:
        """A top-up or a debit, with its key; sometimes one whose key was used before."""
        if self.keys and self.chance.random() < 0.3:
            key = self.chance.choice(list(self.keys))
            wallet, signed = self.keys[key]
            await _move(wallet, signed, key)
            self.verbs["top-up or debit again"] += 1
            return
        wallet, amount = self.chance.choice(self.wallets), self.chance.randrange(1, 3_000)
        signed = amount if self.chance.random() < 0.6 else -amount
        key = f"walk-{ids.uuid7()}"
        if await _move(wallet, signed, key):
            self.keys[key] = (wallet, signed)
            wallet.credited += max(signed, 0)
            wallet.debited += max(-signed, 0)
            self.verbs["top-up" if signed > 0 else "debit"] += 1
        else:
            self.verbs["debit: InsufficientFunds"] += 1


async def _move(wallet: Wallet, signed: int, key: str) -> bool:
    """Asked again with the same key where the database went away under it, as callers do."""
    while True:
        try:
            return await _move_once(wallet, signed, key)
        except OperationalError:
            await asyncio.sleep(0.2)


@sync_to_async
def _move_once(wallet: Wallet, signed: int, key: str) -> bool:
    close_old_connections()
    row = Account.objects.get(pk=wallet.id)
    verb = ledger.credit if signed > 0 else ledger.debit
    kind = TransferKind.TOP_UP if signed > 0 else TransferKind.ADJUSTMENT
    try:
        verb(row, abs(signed), kind=kind, idempotency_key=key)
    except InsufficientFunds:
        return False
    return True


def _facts(wallet: Wallet, hold: Hold, charge: int) -> UsageFacts:
    return UsageFacts(
        hold.id, wallet.organization_id, 0, 1, "qwen-plus", "p", None, 0, 1_000_000, 0, 0, 0, 0, 0,
        charge, "completed", False, False, 200, "", 1, None, 5, datetime.now(UTC),
    )  # fmt: skip


@sync_to_async
def _wallets(chance: random.Random) -> list[Wallet]:
    owner = users.find_or_create("walker@example.com").user
    out = []
    for number in range(WALLETS):
        credit = BIG if number % 3 == 0 else chance.randrange(5_000, 500_000)
        organization = organizations.create(f"Walk {number}", owner, credit_nanos=credit)
        wallet = Account.objects.get(organization=organization)
        out.append(Wallet(wallet.pk, organization.pk, credit))
    return out


async def walk(seed: int, operations: int) -> dict[str, Any]:
    """At least this many verbs. What was done, and what did not add up."""
    chance, began = random.Random(seed), time.monotonic()
    spool = Spool(Path(tempfile.mkdtemp(dir=os.environ["TTONK_DATA"])))
    doors = [
        GroupCommit(settings.DATABASE_URL, spool, hold_seconds=600, authorize_timeout_seconds=5)
        for _ in range(2)
    ]
    for door in doors:
        await door.start()
    walked = Walk(chance, doors, await _wallets(chance))
    batches = breaks = 0
    check_every = max(operations // 40, AT_ONCE)
    checked = 0
    while sum(walked.verbs.values()) < operations and not walked.problems:
        steps = [asyncio.create_task(walked.step()) for _ in range(AT_ONCE)]
        if chance.random() < 0.01:
            # The connection breaks under whatever it is committing.
            await asyncio.sleep(0.002)
            doors[breaks % 2]._abandon_commit()
            breaks += 1
        await asyncio.gather(*steps)
        batches += 1
        if sum(walked.verbs.values()) - checked >= check_every:
            checked = sum(walked.verbs.values())
            await _until_up(doors, spool)
            walked.problems += await _differences(walked)
    await _until_up(doors, spool)
    walked.verbs["expire"] += await _expire_all(walked)
    walked.problems += await _differences(walked)
    for door in doors:
        await door.stop()
    return {
        "operations": sum(walked.verbs.values()),
        "verbs": dict(walked.verbs),
        "batches": batches,
        "breaks": breaks,
        "seconds": time.monotonic() - began,
        "problems": walked.problems[:20],
    }


async def _until_up(doors: list[GroupCommit], spool: Spool) -> None:
    """Everything callers were told is in the database: nothing waits, also not in the spool."""

    def are_up() -> bool:
        is_idle = all(door.is_available and not door.queue_length for door in doors)
        return is_idle and spool.count() == (0, 0)

    async with asyncio.timeout(30):
        while not are_up():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _expire_all(walked: Walk) -> int:
    """Every hold nobody extends any more comes back."""
    async with await psycopg.AsyncConnection.connect(
        settings.DATABASE_URL, autocommit=True
    ) as connection:
        await connection.execute(
            "UPDATE billing_transfer SET expires_at = now() - interval '1 s'"
            " WHERE state = 'pending'"
        )
    walked.holds.clear()
    expire = sync_to_async(ledger.expire_due)
    total = 0
    while settled := await expire():
        total += settled
    return total


_PAID = """
SELECT a.id, a.credits_posted - a.debits_posted - a.debits_pending,
    coalesce(sum(t.held_nanos) FILTER (WHERE t.state = 'pending'), 0),
    coalesce(sum(t.amount_nanos) FILTER (WHERE t.kind IN ('usage', 'usage_excess')), 0)
FROM billing_account a LEFT JOIN billing_transfer t ON t.debit_account_id = a.id
WHERE a.kind = 'wallet' GROUP BY a.id
"""
_LOSSES = "SELECT coalesce(sum(amount_nanos), 0) FROM billing_transfer WHERE kind = 'usage_loss'"


async def _differences(walked: Walk) -> list[str]:
    """Where the database contradicts itself, or what the callers were told."""
    out = []
    async with await psycopg.AsyncConnection.connect(
        settings.DATABASE_URL, autocommit=True
    ) as connection:
        parameters = {"from_id": ids.uuid7().__class__(int=0)}
        for statement in (
            proof_statements.UNBALANCED, proof_statements.ACCOUNTS, proof_statements.WALLETS,
        ):  # fmt: skip
            cursor = await connection.execute(statement, parameters)
            out += [str(row) for row in await cursor.fetchall()]
        rows = await (await connection.execute(_PAID)).fetchall()
        (lost,) = await (await connection.execute(_LOSSES)).fetchone() or (0,)
    known = {wallet.id: wallet for wallet in walked.wallets}
    charged = paid_in_all = 0
    for wallet_id, available, pending, paid in rows:
        wallet = known.get(wallet_id)
        if wallet is None:
            continue
        if available < 0:
            out.append(f"wallet {wallet_id} is at {available}")
        if available != wallet.credited - wallet.debited - pending - paid:
            out.append(f"wallet {wallet_id}: {available} left, of {wallet.credited}")
        charged += sum(wallet.charges.values())
        paid_in_all += paid
    if charged != paid_in_all + lost:
        out.append(f"{charged} charged; {paid_in_all} paid and {lost} lost")
    return out


if __name__ == "__main__":
    print(json.dumps(asyncio.run(walk(int(sys.argv[1]), int(sys.argv[2])))))
