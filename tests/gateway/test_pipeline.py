"""What a request waits for before it is an exchange."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import payload, pipeline
from gateway.errors import Overloaded
from gateway.estimates import Estimates
from gateway.watch import Watch
from ratelimits.buckets import Decision


async def test_requests_that_wait_for_their_hold_are_in_flight() -> None:
    held = asyncio.Event()

    async def authorize(item: object) -> str:
        await held.wait()
        return "a hold"

    async def reserve(limits: object, *, tokens: int) -> Decision:
        return Decision(True, 0.0, None, None)

    services: Any = SimpleNamespace(
        watch=Watch(None, None, None),  # type: ignore[arg-type]
        options={"IN_FLIGHT_MAX": 3},
        ledger=SimpleNamespace(authorize=authorize),
        limiter=SimpleNamespace(reserve=reserve),
        estimates=Estimates(),
        metrics=SimpleNamespace(note_decision=lambda decision: None),
    )
    waiting = [asyncio.ensure_future(_start(services)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await _start(services)
    held.set()
    assert [hold for _, hold in await asyncio.gather(*waiting)] == ["a hold"] * 3
    assert len(services.watch) == 0


def _start(services: Any) -> Any:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
    ceiling = SimpleNamespace(nanos=lambda tokens: tokens)
    request: Any = SimpleNamespace(
        request_id="id", client=SimpleNamespace(add_headers=lambda headers: None)
    )
    principal: Any = SimpleNamespace(
        limits=None, organization_id=1, wallet_id=1, api_key_id=1, cap_day_nanos=None,
        cap_month_nanos=None, project_id=1, cap_project_month_nanos=None,
    )  # fmt: skip
    quote = pipeline.Quote(ceiling, 10, 10, 1)  # type: ignore[arg-type]
    return pipeline._start(request, principal, payload.parse(body), quote, services)
