"""What the product wrote down, read straight from its database: tests believe only this."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

Found = TypeVar("Found")


def until(find: Callable[[], Found | None], what: str, *, seconds: float = 15.0) -> Found:
    """The first true answer of `find`, asked again and again. Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return found


class Books:
    """Ledger and usage records of one product. Money is in nanos."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.connection.execute(statement, parameters).fetchall()

    def change(self, statement: str, **parameters: Any) -> None:
        self.connection.execute(statement, parameters)

    def organization(self, name: str) -> int:
        (row,) = self.rows("SELECT id FROM accounts_organization WHERE name = %(name)s", name=name)
        return int(row["id"])

    def available(self, organization: int) -> int:
        (row,) = self.rows(
            "SELECT credits_posted - debits_posted - debits_pending AS available"
            " FROM billing_account WHERE organization_id = %(id)s",
            id=organization,
        )
        return int(row["available"])

    def record(self, request_id: str) -> dict[str, Any]:
        """The usage record of a request as the client knows it (`req_…`), once it is there."""
        found = until(lambda: self.records(request_id), f"a usage record of {request_id}")
        assert len(found) == 1, found
        return found[0]

    def records(self, request_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM billing_usagerecord WHERE id = %(id)s", id=_id(request_id))

    def transfers(self, request_id: str) -> list[dict[str, Any]]:
        """Everything booked for one request: its hold, and what stands beside it."""
        first = _id(request_id)
        last = uuid.UUID(int=first.int | 3)
        return self.rows(
            "SELECT * FROM billing_transfer WHERE id BETWEEN %(first)s AND %(last)s ORDER BY id",
            first=first,
            last=last,
        )

    def charged(self, request_id: str) -> int:
        """What the customer paid for a request: from its hold, and from beside it."""
        found = self.transfers(request_id)
        assert all(one["state"] in ("posted", "voided", "expired") for one in found), found
        assert [one["kind"] for one in found].count("usage") == 1, found
        return sum(one["amount_nanos"] for one in found if one["kind"] != "usage_loss")

    def progress(self, request_id: str) -> dict[str, Any] | None:
        found = self.rows(
            "SELECT * FROM billing_streamprogress WHERE transfer_id = %(id)s", id=_id(request_id)
        )
        return found[0] if found else None

    def pending(self) -> int:
        (row,) = self.rows("SELECT count(*) AS n FROM billing_transfer WHERE state = 'pending'")
        return int(row["n"])


def _id(request_id: str) -> uuid.UUID:
    return uuid.UUID(request_id.removeprefix("req_"))
