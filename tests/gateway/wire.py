"""How the gateway's tests speak to it, and look up what it booked."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.customers import Customer
from tests.scripts import Script
from tests.stack import Stack


@dataclass
class Wire:
    """One customer's connection to the running product."""

    stack: Stack
    customer: Customer
    http: httpx.Client

    def chat(
        self, content: str | Script = "hello", *, key: str | None = None, **fields: Any
    ) -> httpx.Response:
        """One chat completion; a script as content is played by the upstream."""
        return self.http.post(
            "/v1/chat/completions", json=body_of(content, **fields), headers=self.headers(key)
        )

    def stream(self, content: str | Script = "hello", **fields: Any) -> tuple[int, list[str], str]:
        """A streamed one, read to its end: status, the `data:` payloads, and the request id."""
        body = body_of(content, stream=True, **fields)
        with self.http.stream(
            "POST", "/v1/chat/completions", json=body, headers=self.headers()
        ) as answer:
            lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
            return answer.status_code, [line[6:] for line in lines], answer.headers["x-request-id"]

    def headers(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.customer.api_key if key is None else key}"}

    def record(self, request_id: str, *, seconds: float = 8.0) -> dict[str, Any]:
        """The request's usage record, once it is there, with its transfer beside it."""
        query = (
            "SELECT u.*, t.state, t.amount_nanos, t.held_nanos FROM billing_usagerecord u"
            " JOIN billing_transfer t ON t.id = u.id WHERE u.id = %s"
        )
        key = uuid.UUID(request_id.removeprefix("req_").removeprefix("chatcmpl-"))
        deadline = time.monotonic() + seconds
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                row = connection.cursor(row_factory=dict_row).execute(query, (key,)).fetchone()
                if row is not None:
                    return row
                time.sleep(0.02)
        raise TimeoutError(f"no usage record of {request_id}")

    def count_records(self) -> int:
        with psycopg.connect(self.stack.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM billing_transfer").fetchone()
        assert row is not None
        return int(row[0])


def body_of(content: str | Script, **fields: Any) -> dict[str, Any]:
    text = content.prompt() if isinstance(content, Script) else content
    body = {"model": "qwen-plus", "messages": [{"role": "user", "content": text}]}
    return {**body, **fields}
