"""What billing's tests play with: the cast, requests as the gateway books them, and tampering."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection, transaction

from accounts import organizations, users
from accounts.models import Organization
from billing import batches, ids, ledger, pricing, statements
from billing.models import Account, UsageRecord
from providers import seed
from providers.models import Model
from providers.usage import TokenUsage

USD = 1_000_000_000
# 1,000 uncached input and 100 output tokens of qwen-plus at 0.40 and 1.20 USD per million.
PLUS_USAGE = TokenUsage(input=1_000, output=100)
PLUS_CHARGE_NANOS = 520_000


def make_organization(name: str = "Alice's", credit_nanos: int = 10 * USD) -> Organization:
    """An organization that alice owns, with this much in its wallet."""
    owner = users.find_or_create("alice@example.com").user
    return organizations.create(name, owner, credit_nanos=credit_nanos)


@dataclass(frozen=True)
class Request:
    """One request as the gateway would book it."""

    organization: Organization
    model: str = "qwen-plus"
    usage: TokenUsage = PLUS_USAGE
    held_nanos: int = USD
    status: int = 200
    billing_reason: str = "completed"
    markup_ppm: int = pricing.MARKUP_NONE_PPM
    project_id: int | None = None


def authorize(request: Request, *, hold_seconds: int = 45) -> uuid.UUID:
    """Hold the request's money; returns its id."""
    request_id = ids.uuid7()
    wallet = Account.objects.get(organization=request.organization)
    revenue = Account.objects.get(kind="revenue")
    item = batches.Authorization(
        request_id, wallet.pk, request.held_nanos, request.held_nanos, api_key_id=1
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statements.AUTHORIZE, batches.authorize_parameters([item], revenue.pk, hold_seconds)
        )
        [(_, _, is_granted, _)] = cursor.fetchall()
    assert is_granted
    return request_id


def facts(request: Request, request_id: uuid.UUID) -> batches.UsageFacts:
    """The request's usage record, priced as the seeded list price says."""
    seed.plant({})
    price = Model.objects.get(name=request.model).prices.get()
    rate = price.rates.get()
    charge_nanos = pricing.charge(
        pricing.PriceVersion(price.pk, price.effective_at, (_as_rate(rate),)),
        datetime.now(UTC),
        request.usage,
        request.markup_ppm,
    )
    project_id = request.project_id or request.organization.projects.get(name="Default").pk
    return batches.UsageFacts(
        id=request_id,
        organization_id=request.organization.pk,
        project_id=project_id,
        api_key_id=1,
        model=request.model,
        provider="alibaba",
        channel_id=None,
        price_id=price.pk,
        markup_ppm=request.markup_ppm,
        input_tokens=request.usage.input,
        cached_input_tokens=request.usage.cached_input,
        cache_write_tokens=request.usage.cache_write,
        output_tokens=request.usage.output,
        reasoning_output_tokens=request.usage.reasoning_output,
        charge_nanos=charge_nanos,
        billing_reason=request.billing_reason,
        is_estimated=False,
        is_stream=False,
        status=request.status,
        error_code="",
        attempts=1,
        first_token_ms=5,
        duration_ms=20,
        started_at=datetime.now(UTC),
    )


def capture(request: Request, request_id: uuid.UUID) -> None:
    """Charge the request: from its hold, then from the wallet, then to the operator."""
    record = facts(request, request_id)
    wallet = Account.objects.get(organization=request.organization)
    item = batches.Capture(record, wallet.pk, request.held_nanos, False, datetime.now(UTC))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.CAPTURE, batches.capture_parameters([item]))
        assert cursor.fetchall()
        excess = max(record.charge_nanos - request.held_nanos, 0)
        wallet.refresh_from_db()
        taken = min(excess, wallet.available_nanos)
        if taken:
            cursor.execute(
                statements.POST_EXCESS,
                {
                    "id": ids.excess_of(request_id),
                    "wallet": wallet.pk,
                    "amount": taken,
                    "key": 1,
                },
            )
        if excess > taken:
            ledger.book_loss(cursor, ids.loss_of(request_id), excess - taken, 1)


def use(organization: Organization, **changes: Any) -> UsageRecord:
    """One whole request; returns its record."""
    request = replace(Request(organization), **changes)
    request_id = authorize(request)
    capture(request, request_id)
    return UsageRecord.objects.get(pk=request_id)


def _as_rate(row: Any) -> pricing.Rate:
    return pricing.Rate(
        row.context_tokens_min,
        row.weekdays,
        row.start_minute,
        row.end_minute,
        row.input_nanos,
        row.cached_input_nanos,
        row.cache_write_nanos,
        row.output_nanos,
        row.reasoning_output_nanos,
    )


@contextmanager
def tampering(*tables: str) -> Iterator[None]:
    """As somebody with the table owner's rights could: the guards are off inside the block."""
    with connection.cursor() as cursor:
        # A table with checks put off until the commit cannot be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        try:
            yield
        finally:
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def execute(statement: str, *parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def charge_at(record: UsageRecord, moment: datetime) -> None:
    """Have the record charged at another time than now."""
    with tampering("billing_usagerecord"):
        execute("UPDATE billing_usagerecord SET charged_at = %s WHERE id = %s", moment, record.pk)


@contextmanager
def second_connection() -> Iterator[psycopg.Connection[Any]]:
    """Another session of the same database, in a transaction of its own."""
    known = connection.get_connection_params()
    names = {"dbname", "user", "password", "host", "port"} & known.keys()
    wanted = {name: known[name] for name in names}
    with psycopg.connect(**wanted) as other:
        yield other


def wait_until_visible(seconds: float = 20) -> None:
    """Until a roll-up would take every record there is now. Other databases of the same cluster
    hold the snapshot's horizon back while they have a transaction open, as parallel tests do."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(max(xid), 0) <"
                " pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM billing_usagerecord"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.05)
    raise TimeoutError("other transactions stay open")
