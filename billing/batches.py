"""What the gateway asks of the ledger, as data, and its form as SQL parameters.

Arrays travel as PostgreSQL array literals, which a JSON encoder writes in one call per column:
no Python object is touched for each element of a batch of many short columns.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from billing.ledger import InsufficientFunds, SpendCapExceeded
from billing.statements import USAGE_COLUMNS


class Authorization(msgspec.Struct, frozen=True):
    """A request to hold `amount_nanos`, or anything down to `minimum_nanos` if that is all."""

    id: uuid.UUID
    wallet_id: int
    amount_nanos: int
    minimum_nanos: int
    api_key_id: int
    cap_day_nanos: int | None = None
    cap_month_nanos: int | None = None
    project_id: int = 0
    cap_project_month_nanos: int | None = None

    @property
    def is_key_capped(self) -> bool:
        return self.cap_day_nanos is not None or self.cap_month_nanos is not None

    @property
    def is_project_capped(self) -> bool:
        return self.cap_project_month_nanos is not None

    @property
    def is_capped(self) -> bool:
        """Whether it counts against more than the wallet, and so cannot ride in a plain batch."""
        return self.is_key_capped or self.is_project_capped


class Hold(msgspec.Struct, frozen=True):
    """Money set aside for one request."""

    id: uuid.UUID
    wallet_id: int
    amount_nanos: int
    api_key_id: int
    is_capped: bool  # counted in the key's budget
    held_at: datetime
    is_project_capped: bool = False  # counted in the project's


class UsageFacts(msgspec.Struct, frozen=True):
    """One usage record as the gateway writes it; the columns of `statements.USAGE_COLUMNS`."""

    id: uuid.UUID
    organization_id: int
    project_id: int
    api_key_id: int
    model: str
    provider: str
    channel_id: int | None
    price_id: int
    markup_ppm: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_output_tokens: int
    charge_nanos: int
    billing_reason: str
    is_estimated: bool
    is_stream: bool
    status: int
    error_code: str
    attempts: int
    first_token_ms: int | None
    duration_ms: int
    started_at: datetime


class Capture(msgspec.Struct, frozen=True):
    """The end of a hold: what the request consumed, and what it was held for."""

    facts: UsageFacts
    wallet_id: int
    held_nanos: int
    is_capped: bool
    held_at: datetime
    is_project_capped: bool = False

    @property
    def needs_care(self) -> bool:
        """Whether it moves more than its own hold, and so cannot ride in a plain batch."""
        return self.is_capped or self.is_project_capped or self.facts.charge_nanos > self.held_nanos


class Progress(msgspec.Struct, frozen=True):
    """A request still running: its hold is extended, and what it has relayed is saved."""

    id: uuid.UUID
    facts: UsageFacts | None


class Funds(NamedTuple):
    """What a wallet has that nothing holds, and what its cap leaves of the month, in nanos."""

    available_nanos: int
    cap_left_nanos: int

    def pay(self, item: Authorization) -> int:
        """How much of the item's amount can be held. Raises `InsufficientFunds` or
        `SpendCapExceeded` where that is less than it needs."""
        if self.available_nanos < item.minimum_nanos:
            raise InsufficientFunds(item.minimum_nanos, self.available_nanos)
        if self.cap_left_nanos < item.minimum_nanos:
            raise SpendCapExceeded(item.minimum_nanos, max(self.cap_left_nanos, 0))
        return min(item.amount_nanos, *self)


def fit(
    items: Sequence[Authorization], funds: dict[int, Funds]
) -> list[Authorization | InsufficientFunds]:
    """Each item as its wallet can pay for it, greedily in order of arrival, or why it cannot."""
    left = dict(funds)
    out: list[Authorization | InsufficientFunds] = []
    for item in items:
        had = left[item.wallet_id]
        try:
            amount = had.pay(item)
        except InsufficientFunds as error:
            out.append(error)
            continue
        left[item.wallet_id] = Funds(had.available_nanos - amount, had.cap_left_nanos - amount)
        out.append(msgspec.structs.replace(item, amount_nanos=amount))
    return out


def array(values: Sequence[object]) -> str:
    """A PostgreSQL array literal of numbers, uuids, times, booleans and nulls: what JSON writes
    between its brackets."""
    return "{" + msgspec.json.encode(values)[1:-1].decode() + "}"


def text_array(values: Sequence[str]) -> str:
    """A PostgreSQL array literal of strings. JSON quotes them alike, but for what it escapes."""
    encoded = msgspec.json.encode(values)
    if b"\\" not in encoded:
        return "{" + encoded[1:-1].decode() + "}"
    quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    return "{" + ",".join(quoted) + "}"


def authorize_parameters(
    items: Sequence[Authorization], revenue_id: int, hold_seconds: int
) -> dict[str, Any]:
    return {
        "ids": array([item.id for item in items]),
        "wallets": array([item.wallet_id for item in items]),
        "amounts": array([item.amount_nanos for item in items]),
        "keys": array([item.api_key_id for item in items]),
        "revenue": revenue_id,
        "hold_seconds": hold_seconds,
    }


def wallets(items: Sequence[Authorization | Capture]) -> dict[str, Any]:
    return {"wallets": array(list({item.wallet_id for item in items}))}


_TEXTS = {name for name, kind in USAGE_COLUMNS.items() if kind == "text"}


def capture_parameters(items: Sequence[Capture]) -> dict[str, Any]:
    columns = zip(*[msgspec.structs.astuple(item.facts) for item in items], strict=True)
    parameters = {
        name: text_array(column) if name in _TEXTS else array(column)
        for name, column in zip(USAGE_COLUMNS, columns, strict=True)
    }
    return parameters | id_bounds(parameters["id"])


def id_bounds(ids: str) -> dict[str, str]:
    """The first and the last of an array literal of ids. As text they sort as the ids do."""
    each = ids[1:-1].split(",")
    return {"first_id": min(each).strip('"'), "last_id": max(each).strip('"')}


def progress_parameters(items: Sequence[Progress], hold_seconds: int) -> dict[str, Any]:
    ids = array([item.id for item in items])
    return {
        **id_bounds(ids),
        "ids": ids,
        "charges": array([item.facts.charge_nanos if item.facts else 0 for item in items]),
        "facts": "{"
        + ",".join(
            '"' + as_json(item.facts).replace("\\", "\\\\").replace('"', '\\"') + '"'
            if item.facts
            else "NULL"
            for item in items
        )
        + "}",
        "hold_seconds": hold_seconds,
    }


def as_json(facts: UsageFacts) -> str:
    return msgspec.json.encode(facts).decode()
