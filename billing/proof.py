"""The proof that the ledger is right: sums, balances, and every charge recomputed.

Everything is read in one snapshot, so it may run while requests are being charged. Only what it
looks at again is trusted: transfers for balances, tokens and price versions for charges.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection, transaction

from billing import cost_proof, invoice_statements, invoices, pricing, settlements
from billing import proof_statements as statements
from providers.models import PriceRate
from providers.usage import TokenUsage

_OFFENDERS_SHOWN = 10
_ROWS_PER_FETCH = 5_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Check:
    """One thing proven or refuted: how many rows it looked at, and the first that contradict it."""

    name: str
    promise: str
    checked: int = 0
    offenders: int = 0
    first: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return self.offenders == 0

    def accuse(self, what: str, why: str) -> None:
        self.offenders += 1
        if len(self.first) < _OFFENDERS_SHOWN:
            self.first.append(f"{what}: {why}")


# Name, promise, how many were looked at, and who breaks it. Charges and invoices are recomputed.
_BALANCES = (
    (
        "balanced",
        "debits equal credits, held and posted",
        "SELECT (SELECT count(*) FROM billing_account)"
        " + (SELECT count(*) FROM billing_accountdelta)",
        statements.UNBALANCED,
    ),
    (
        "accounts",
        "each account's columns equal the sums of its transfers, archived ones included",
        "SELECT count(*) FROM billing_account",
        statements.ACCOUNTS,
    ),
    (
        "wallets",
        "no wallet is below zero",
        "SELECT count(*) FROM billing_account WHERE kind = 'wallet'",
        statements.WALLETS,
    ),
    (
        "transfers",
        "each transfer joins the right accounts, once per request",
        "SELECT count(*) FROM billing_transfer WHERE id >= %(from_id)s",
        statements.TRANSFERS,
    ),
)
_SETTLEMENTS = (
    (
        "settlements",
        "each usage record equals what was booked for it",
        "SELECT count(*) FROM billing_usagerecord WHERE id >= %(from_id)s",
        statements.SETTLEMENTS,
    ),
    (
        "holds",
        "no hold is overdue by more than 90 s",
        "SELECT count(*) FROM billing_transfer WHERE state = 'pending'",
        statements.OVERDUE,
    ),
)
_SUMS = (
    (
        "documents",
        "invoice and credit note numbers have no gap, and credit notes equal their transfers",
        "SELECT (SELECT count(*) FROM billing_invoice) + (SELECT count(*) FROM billing_creditnote)",
        invoice_statements.NUMBERS,
    ),
    (
        "rollups",
        "hourly and daily sums equal the usage records",
        "SELECT count(*) FROM billing_usageday",
        statements.ROLLUPS,
    ),
    (
        "archives",
        "what is kept of dropped months agrees with itself and with their files",
        "SELECT count(*) FROM billing_archive",
        statements.ARCHIVES,
    ),
)


def prove(since: datetime | None = None) -> list[Check]:
    """Run every check in one read-only snapshot.

    `since` leaves out requests that started before it and invoices of earlier months; balances
    and sums are always checked whole.
    """
    since = since or _BEGINNING
    parameters: dict[str, Any] = {
        "from_id": settlements.first_id_at(since),
        "invoice": None,
        "from_month": since.astimezone(UTC).date().replace(day=1),
    }
    with _snapshot():
        return [
            *(_found(*check, parameters) for check in _BALANCES),
            _charges(parameters),
            *(_found(*check, parameters) for check in _SETTLEMENTS),
            _invoices(parameters),
            *(_found(*check, parameters) for check in _SUMS),
            _costs(parameters),
        ]


@contextmanager
def _snapshot() -> Iterator[None]:
    """One REPEATABLE READ, read-only transaction; inside a caller's, the caller's snapshots."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _found(
    name: str, promise: str, count: str, statement: str, parameters: dict[str, Any]
) -> Check:
    """A check whose statement returns the offenders."""
    check = Check(name, promise)
    with connection.cursor() as cursor:
        cursor.execute(count, parameters)
        check.checked = cursor.fetchone()[0]
    for what, why in _stream(statement, parameters):
        check.accuse(what, why)
    return check


def _stream(statement: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows through a server-side cursor: however many there are, memory stays flat."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            yield from rows


_RECORDS = """
SELECT id, price_id, started_at, markup_ppm, input_tokens, cached_input_tokens,
    cache_write_tokens, output_tokens, reasoning_output_tokens, charge_nanos
FROM billing_usagerecord WHERE id >= %(from_id)s
"""


def _charges(parameters: dict[str, Any]) -> Check:
    """Every charge again, from the record's tokens, its price version and its markup."""
    check = Check("charges", "tokens x price version x markup gives each charge, to the nano")
    prices = _price_versions()
    for request_id, price_id, started_at, markup_ppm, *tokens, charge_nanos in _stream(
        _RECORDS, parameters
    ):
        check.checked += 1
        expected = _recomputed(prices.get(price_id), started_at, TokenUsage(*tokens), markup_ppm)
        if expected is None:
            check.accuse(f"request {request_id}", f"price {price_id} does not price it")
        elif expected != charge_nanos:
            check.accuse(f"request {request_id}", f"charged {charge_nanos}, recomputed {expected}")
    return check


def _recomputed(
    price: pricing.PriceVersion | None, started_at: datetime, usage: TokenUsage, markup_ppm: int
) -> int | None:
    """Nanos; None where tokens were used and no price is known for them."""
    if usage.total == 0:
        return 0
    if price is None:
        return None
    try:
        return pricing.charge(price, started_at.astimezone(UTC), usage, markup_ppm)
    except LookupError:
        return None


def _price_versions() -> dict[int, pricing.PriceVersion]:
    rates: dict[int, list[pricing.Rate]] = {}
    effective: dict[int, datetime] = {}
    for row in PriceRate.objects.select_related("price"):
        effective[row.price_id] = row.price.effective_at
        rates.setdefault(row.price_id, []).append(
            pricing.Rate(
                context_tokens_min=row.context_tokens_min,
                weekdays=row.weekdays,
                start_minute=row.start_minute,
                end_minute=row.end_minute,
                input_nanos=row.input_nanos,
                cached_input_nanos=row.cached_input_nanos,
                cache_write_nanos=row.cache_write_nanos,
                output_nanos=row.output_nanos,
                reasoning_output_nanos=row.reasoning_output_nanos,
            )
        )
    return {
        price_id: pricing.PriceVersion(price_id, effective[price_id], tuple(found))
        for price_id, found in rates.items()
    }


def _invoices(parameters: dict[str, Any]) -> Check:
    """Every line and total again; older records are looked at as far back as they can settle."""
    from_month: date = parameters["from_month"]
    oldest = datetime(from_month.year, from_month.month, 1, tzinfo=UTC)
    return _found(
        "invoices",
        "each invoice recomputes from usage records and transfers",
        "SELECT count(*) FROM billing_invoice WHERE month >= %(from_month)s",
        "SELECT 'invoice ' || name, what FROM ("
        + invoice_statements.DIFFERENCES
        + ") AS d (name, what)",
        {**parameters, "from_id": invoices.first_id_charged_at(oldest)},
    )


def _costs(parameters: dict[str, Any]) -> Check:
    """What usage cost upstream, rated again: the records of `from_month` and later."""
    check = Check("costs", "tokens x what upstreams charge gives each sum of cost, to the nano")
    check.checked = cost_proof.count(parameters["from_month"])
    for month in cost_proof.months(parameters["from_month"]):
        for what, why in cost_proof.differences(month):
            check.accuse(what, why)
    return check
