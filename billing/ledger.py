"""The ledger's verbs. Nothing else writes accounts and transfers.

Wallets are guarded in the database: no verb, and no order of verbs, takes one below zero.
Every verb is one transaction or joins the caller's. The gateway's hot path uses the same
statements in batches (see billing.group_commit).
"""

import json
import uuid
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from accounts.models import ApiKey, Organization
from billing import ids, statements
from billing.models import Account, AccountKind, IdempotencyKey, Transfer, TransferKind

# Which platform account stands against the wallet, by kind of transfer.
_PLATFORM = {
    TransferKind.WELCOME: AccountKind.PROMOTIONS,
    TransferKind.TOP_UP: AccountKind.PAYMENTS,
    TransferKind.CODE: AccountKind.PROMOTIONS,
    TransferKind.REFUND: AccountKind.PAYMENTS,
    TransferKind.DISPUTE: AccountKind.PAYMENTS,
    TransferKind.ADJUSTMENT: AccountKind.ADJUSTMENTS,
    TransferKind.PLAN_FEE: AccountKind.REVENUE,
    TransferKind.PLAN_CREDIT: AccountKind.PROMOTIONS,
    TransferKind.CREDIT_NOTE: AccountKind.REVENUE,
}


class InsufficientFunds(Exception):
    """The wallet cannot pay `needed_nanos`; it has `available_nanos` that nothing holds."""

    def __init__(self, needed_nanos: int, available_nanos: int) -> None:
        super().__init__(f"{needed_nanos} needed, {available_nanos} available")
        self.needed_nanos = needed_nanos
        self.available_nanos = available_nanos


class BudgetExceeded(InsufficientFunds):
    """The wallet could pay, but the key's own spend cap does not allow it."""


class SpendCapExceeded(BudgetExceeded):
    """The wallet could pay, but the organization's own cap on the month does not allow it."""


class ProjectBudgetExceeded(BudgetExceeded):
    """The wallet and the key could pay, but the project's budget does not allow it."""


class AlreadyArchived(Exception):
    """The idempotency key was used in a month whose transfers are archived. Nothing has moved."""


class LedgerUnavailable(Exception):
    """The database cannot be asked in time. Nothing is known to have moved."""


def open_wallet(organization: Organization) -> Account:
    """The organization's wallet, made at zero if it has none."""
    wallet, _ = Account.objects.get_or_create(
        organization=organization, defaults={"kind": AccountKind.WALLET}
    )
    return wallet


def credit(
    wallet: Account,
    amount_nanos: int,
    *,
    kind: TransferKind,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Transfer:
    """Move `amount_nanos` into the wallet from the platform account of this kind.

    The same `idempotency_key` again returns the first transfer and moves nothing. Raises
    ValueError for an amount that is not positive, and `AlreadyArchived`.
    """
    return _post(statements.POST_TO_WALLET, wallet, amount_nanos, kind, reason, idempotency_key)


def debit(
    wallet: Account,
    amount_nanos: int,
    *,
    kind: TransferKind,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Transfer:
    """Move `amount_nanos` out of the wallet, or raise `InsufficientFunds` and move nothing."""
    return _post(statements.POST_FROM_WALLET, wallet, amount_nanos, kind, reason, idempotency_key)


def take_back(wallet: Account, amount_nanos: int, *, kind: TransferKind, reason: str) -> int:
    """A provider took back money that was credited: out of the wallet what it still has, out of
    the operator's pocket the rest. Returns the nanos that came from the wallet.

    What running requests hold stays theirs. The caller makes sure that this happens once.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.AVAILABLE, {"wallet": wallet.pk})
        taken = min(amount_nanos, int(cursor.fetchone()[0]))
        if taken:
            debit(wallet, taken, kind=kind, reason=reason)
        if amount_nanos > taken:
            lost = amount_nanos - taken
            _shift(AccountKind.OPERATOR_LOSS, _PLATFORM[kind], lost, kind, reason)
    return taken


def give_back(
    wallet: Account, wallet_nanos: int, loss_nanos: int, *, kind: TransferKind, reason: str
) -> None:
    """Undo a `take_back`: what came from the wallet and what the operator lost. The caller makes
    sure that this happens once."""
    with transaction.atomic():
        if wallet_nanos:
            credit(wallet, wallet_nanos, kind=kind, reason=reason)
        if loss_nanos:
            _shift(_PLATFORM[kind], AccountKind.OPERATOR_LOSS, loss_nanos, kind, reason)


def cap_usage(wallet: Account, nanos: int | None) -> int | None:
    """Let a UTC month's usage, holds included, reach `nanos` and not more; None takes the cap away.
    It holds from this transaction's commit, for requests that are authorized after it. Returns
    the cap before."""
    with transaction.atomic():
        row = Account.objects.select_for_update(no_key=True).get(pk=wallet.pk)
        before = row.usage_cap_month_nanos
        row.usage_cap_month_nanos = wallet.usage_cap_month_nanos = nanos
        row.save(update_fields=["usage_cap_month_nanos"])
    return before


def _shift(
    giver: AccountKind, taker: AccountKind, amount_nanos: int, kind: TransferKind, reason: str
) -> None:
    """Move an amount between two platform accounts."""
    with connection.cursor() as cursor:
        cursor.execute(
            statements.POST_ON_PLATFORM,
            {
                "id": ids.uuid7(),
                "giver": giver.value,
                "taker": taker.value,
                "amount": amount_nanos,
                "kind": kind.value,
                "reason": reason[:300],
            },
        )


def _post(
    statement: str,
    wallet: Account,
    amount_nanos: int,
    kind: TransferKind,
    reason: str,
    idempotency_key: str | None,
) -> Transfer:
    if amount_nanos <= 0:
        raise ValueError("an amount is a positive number of nanos")
    transfer_id = ids.uuid7()
    with transaction.atomic(), connection.cursor() as cursor:
        if idempotency_key is not None:
            # The insert waits for a concurrent one of the same key, so only one goes on.
            row, is_new = IdempotencyKey.objects.get_or_create(
                key=idempotency_key, defaults={"transfer_id": transfer_id}
            )
            if not is_new:
                try:
                    return Transfer.objects.get(pk=row.transfer_id)
                except Transfer.DoesNotExist:
                    raise AlreadyArchived(f"{idempotency_key}: {row.transfer_id}") from None
        cursor.execute(
            statement,
            {
                "id": transfer_id,
                "wallet": wallet.pk,
                "amount": amount_nanos,
                "kind": kind.value,
                "platform": _PLATFORM[kind].value,
                "reason": reason[:300],
                "key": None,
            },
        )
        if cursor.fetchone() is None:
            wallet.refresh_from_db()
            raise InsufficientFunds(amount_nanos, wallet.available_nanos)
    wallet.refresh_from_db()
    return Transfer.objects.get(pk=transfer_id)


def fold_deltas(limit: int = 10_000) -> int:
    """Add up to `limit` outbox rows to the platform accounts they name. Returns how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.FOLD, {"limit": limit})
        return int(cursor.fetchone()[0])


# A hold lives 45 seconds from its last extension, two seconds ago at most. An outage of less than
# this costs none its life: there is time to connect again and extend it. After a longer gap between
# two looks, which come every five seconds, gateways have the grace to do so, and to replay what is
# theirs. Together they keep orphans below 90 s.
_SWEEP_GAP_SECONDS = 35
_GRACE_SECONDS = 10


def begin_sweep() -> datetime | None:
    """The moment up to which expired holds may be settled; None while it may not be judged.

    A gateway extends its holds every two seconds where the database lets it. A hold that expired
    while the database did not answer says nothing about its gateway, so after a gap in the
    workers' own looks everybody waits. The moment is the database's at the look: should it freeze
    after it, what expires meanwhile is not due.
    """
    with connection.cursor() as cursor:
        cursor.execute(statements.BEGIN_SWEEP, {"gap": _SWEEP_GAP_SECONDS, "grace": _GRACE_SECONDS})
        moment, is_steady = cursor.fetchone()
    return moment if is_steady else None


def expire_due(limit: int = 500, until: datetime | None = None) -> int:
    """Settle holds that expired before `until` (now without it): their gateway has stopped
    extending them. Returns how many.

    A request that had relayed something is charged the progress last saved; one that had not is
    released. Either way its usage record says `gateway_lost`. Rows another worker has claimed
    are passed over.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.CLAIM_DUE, {"limit": limit, "until": until})
        due = cursor.fetchall()
        # By wallet, as the gateways lock them, so that neither waits for the other in a circle.
        due.sort(key=lambda row: row[1])
        for transfer_id, wallet_id, held, key_id, created_at, charge, facts in due:
            facts = json.loads(facts) if isinstance(facts, str) else facts
            record = {**_lost_record(transfer_id, wallet_id, key_id, created_at), **(facts or {})}
            record["charge_nanos"] = charge or 0
            if charge:
                _capture_one(cursor, record)
            else:
                cursor.execute(statements.EXPIRE, {"id": transfer_id})
                _insert_record(cursor, record)
            charged = min(charge or 0, held)
            if charge and charge > held:
                book_loss(cursor, ids.loss_of(transfer_id), charge - held, key_id)
            if key_id is not None:
                change = {"key": key_id, "amount": charged - held, "since": created_at}
                cursor.execute(statements.SPEND_BUDGET, change)
                change["project"] = record["project_id"]
                cursor.execute(statements.SPEND_PROJECT_BUDGET, change)
        cursor.execute(
            "DELETE FROM billing_streamprogress WHERE saved_at < now() - interval '2 minutes'"
            " AND NOT EXISTS (SELECT FROM billing_transfer t"
            "                 WHERE t.id = transfer_id AND t.state = 'pending')"
        )
    return len(due)


def _lost_record(
    transfer_id: uuid.UUID, wallet_id: int, key_id: int | None, created_at: datetime
) -> dict[str, Any]:
    """The usage record of a request about which only its hold is known."""
    wallet = Account.objects.get(pk=wallet_id)
    key = ApiKey.objects.filter(pk=key_id).first() if key_id else None
    return {
        "id": str(transfer_id),
        "organization_id": wallet.organization_id,
        "project_id": key.project_id if key else None,
        "api_key_id": key_id,
        "model": "",
        "provider": "",
        "channel_id": None,
        "price_id": None,
        "markup_ppm": 1_000_000,
        "input_tokens": 0,
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 0,
        "reasoning_output_tokens": 0,
        "charge_nanos": 0,
        "billing_reason": "gateway_lost",
        "is_estimated": True,
        "is_stream": True,
        "status": 500,
        "error_code": "gateway_lost",
        "attempts": 1,
        "first_token_ms": None,
        "duration_ms": 0,
        "started_at": created_at.isoformat(),
    }


def book_loss(cursor: Any, transfer_id: uuid.UUID, amount_nanos: int, key_id: int | None) -> None:
    """Revenue that nobody pays, borne by the operator. The same id again books nothing."""
    cursor.execute(
        statements.POST_LOSS,
        {"id": transfer_id, "amount": amount_nanos, "key": key_id, "reason": ""},
    )


def _capture_one(cursor: Any, record: dict[str, Any]) -> None:
    parameters = {name: [record[name]] for name in statements.USAGE_COLUMNS}
    only = {"first_id": record["id"], "last_id": record["id"]}
    cursor.execute(statements.CAPTURE, parameters | only)


def _insert_record(cursor: Any, record: dict[str, Any]) -> None:
    names = ", ".join(statements.USAGE_COLUMNS)
    values = ", ".join(f"%({name})s" for name in statements.USAGE_COLUMNS)
    cursor.execute(
        f"INSERT INTO billing_usagerecord ({names}, charged_at, xid)"
        f" VALUES ({values}, now(), pg_current_xact_id()::text::bigint)",
        record,
    )
