"""The ledger's slow path: one item in one transaction, with everything that can be special.

Used where a batch does not do: a wallet that cannot pay for its whole batch, keys and projects
with a cap, charges above their hold, and captures that come back (replays, or after their hold
expired).
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from billing import batches, ids, statements
from billing.batches import Authorization, Capture, Funds, Hold
from billing.ledger import BudgetExceeded, ProjectBudgetExceeded

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[Any]
CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError)


async def authorize(
    connection: Connection, item: Authorization, revenue_id: int, hold_seconds: int
) -> Hold:
    """Hold as much of `amount_nanos` as wallet and caps allow, at least `minimum_nanos`.

    Raises `InsufficientFunds`, `SpendCapExceeded`, `BudgetExceeded` or `ProjectBudgetExceeded`.
    """
    async with connection.transaction():
        # The wallet before the budgets, as a capture locks them: two gateways never deadlock.
        amount = (await _funds(connection, item.wallet_id)).pay(item)
        if item.is_key_capped:
            left = await _key_budget_left(connection, item)
            amount = min(amount, left)
            if amount < item.minimum_nanos:
                raise BudgetExceeded(item.minimum_nanos, max(left, 0))
        if item.is_project_capped:
            left = await _project_budget_left(connection, item)
            amount = min(amount, left)
            if amount < item.minimum_nanos:
                raise ProjectBudgetExceeded(item.minimum_nanos, max(left, 0))
        held = Authorization(item.id, item.wallet_id, amount, amount, item.api_key_id)
        await connection.execute(
            statements.AUTHORIZE, batches.authorize_parameters([held], revenue_id, hold_seconds)
        )
        now = datetime.now(UTC)
        if item.is_key_capped:
            await _spend_key_budget(connection, item.api_key_id, amount, now)
        if item.is_project_capped:
            await _spend_project_budget(connection, item.project_id, amount, now)
    return Hold(
        item.id,
        item.wallet_id,
        amount,
        item.api_key_id,
        item.is_key_capped,
        now,
        item.is_project_capped,
    )


async def capture(connection: Connection, item: Capture) -> None:
    """Resolve one hold, whatever has become of it. The same capture again changes nothing."""
    facts = item.facts
    async with connection.transaction():
        cursor = await connection.execute(statements.CAPTURE, batches.capture_parameters([item]))
        row = await cursor.fetchone()
        if row is None:
            await _settle_late(connection, item)
            return
        held_nanos = row[2]
        paid = min(facts.charge_nanos, held_nanos)
        if facts.charge_nanos > held_nanos:
            paid += await _settle_excess(connection, item, facts.charge_nanos - held_nanos)
        change = paid - held_nanos
        if item.is_capped:
            await _spend_key_budget(connection, facts.api_key_id, change, item.held_at)
        if item.is_project_capped:
            await _spend_project_budget(connection, facts.project_id, change, item.held_at)


async def replay(connection: Connection, items: Sequence[Capture]) -> bool:
    """Capture each; False where one was refused. A poisoned item fails alone, and does not keep
    the ledger from coming back."""
    is_whole = True
    for item in items:
        try:
            await capture(connection, item)
        except CONNECTION_LOST:
            raise
        except (psycopg.Error, ValueError) as error:
            log.critical("replay of %s refused: %s", item.facts.id, error)
            is_whole = False
    log.warning("replayed %d spooled captures", len(items))
    return is_whole


async def _settle_excess(connection: Connection, item: Capture, excess: int) -> int:
    """Take what is available above the hold, within the organization's cap, and book the rest as
    loss. Returns what was taken."""
    facts = item.facts
    taken = max(0, min(excess, *await _funds(connection, item.wallet_id)))
    if taken:
        parameters = {
            "id": ids.excess_of(facts.id),
            "wallet": item.wallet_id,
            "amount": taken,
            "key": facts.api_key_id,
        }
        await connection.execute(statements.POST_EXCESS, parameters)
    if excess > taken:
        await _book_loss(connection, ids.loss_of(facts.id), excess - taken, facts.api_key_id)
    return taken


async def _settle_late(connection: Connection, item: Capture) -> None:
    """The hold is no longer pending. A replay finds its own record and is done; where a worker
    settled the request first, the customer keeps that price and the operator bears the rest."""
    facts = item.facts
    cursor = await connection.execute(
        "SELECT billing_reason, charge_nanos FROM billing_usagerecord WHERE id = %s", (facts.id,)
    )
    row = await cursor.fetchone()
    if row is None or row[0] != "gateway_lost":
        return
    missed = facts.charge_nanos - row[1]
    if missed > 0:
        await _book_loss(connection, ids.late_of(facts.id), missed, facts.api_key_id)


async def _book_loss(connection: Connection, transfer_id: Any, amount: int, key_id: int) -> None:
    await connection.execute(
        statements.POST_LOSS,
        {"id": transfer_id, "amount": amount, "key": key_id, "reason": ""},
    )


async def _funds(connection: Connection, wallet_id: int) -> Funds:
    """The wallet, locked until the transaction ends."""
    cursor = await connection.execute(statements.AVAILABLE, {"wallet": wallet_id})
    row = await cursor.fetchone()
    assert row is not None
    return Funds(*row)


async def _key_budget_left(connection: Connection, item: Authorization) -> int:
    cursor = await connection.execute(
        statements.BUDGET_LEFT,
        {
            "key": item.api_key_id,
            "day_cap": item.cap_day_nanos,
            "month_cap": item.cap_month_nanos,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(min(row))


async def _project_budget_left(connection: Connection, item: Authorization) -> int:
    return await _scalar(
        connection,
        statements.PROJECT_BUDGET_LEFT,
        {"project": item.project_id, "month_cap": item.cap_project_month_nanos},
    )


async def _spend_key_budget(
    connection: Connection, key_id: int, amount: int, since: datetime
) -> None:
    await connection.execute(
        statements.SPEND_BUDGET, {"key": key_id, "amount": amount, "since": since}
    )


async def _spend_project_budget(
    connection: Connection, project_id: int, amount: int, since: datetime
) -> None:
    await connection.execute(
        statements.SPEND_PROJECT_BUDGET,
        {"project": project_id, "amount": amount, "since": since},
    )


async def _scalar(connection: Connection, statement: str, parameters: dict[str, Any]) -> int:
    cursor = await connection.execute(statement, parameters)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
