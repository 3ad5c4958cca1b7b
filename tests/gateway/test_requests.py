"""Reading a request's body: whole, bounded, in time."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import BodyTimeout, PayloadTooLarge, TooManyBodies
from gateway.requests import ClientGone, GatewayRequest
from gateway.watch import Watch


def _request(*messages: dict[str, Any], headers: Any = (), seconds: float = 5) -> GatewayRequest:
    """A request whose client sends these messages, and then nothing."""
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(60)
        raise AssertionError("read past what was sent")

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError("nothing is to be sent")

    scope = {"method": "POST", "path": "/v1/chat/completions", "headers": list(headers)}
    watch = Watch(None, None, None)  # type: ignore[arg-type]
    watch.start()
    options = {"BODY_TIMEOUT_SECONDS": seconds, "BODIES_BYTES_MAX": 10}
    services: Any = SimpleNamespace(options=options, watch=watch, body_bytes=0)
    return GatewayRequest(scope, receive, send, services)


def _part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_parts_are_one_body() -> None:
    request = _request(_part(b"ab", more=True), _part(b"", more=True), _part(b"c"))
    assert await request.read_body(3) == b"abc"


async def test_a_body_that_grows_above_the_bound_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        await _request(_part(b"ab", more=True), _part(b"cd")).read_body(3)


async def test_a_declared_length_above_the_bound_is_refused_unread() -> None:
    with pytest.raises(PayloadTooLarge):
        await _request(headers=[(b"content-length", b"9" * 400)]).read_body(3)


async def test_a_body_that_does_not_come_is_given_up_in_time() -> None:
    with pytest.raises(BodyTimeout):
        await asyncio.wait_for(_request(_part(b"a", more=True), seconds=0.05).read_body(3), 2)


async def test_a_task_goes_on_after_a_body_that_came_too_late() -> None:
    with pytest.raises(BodyTimeout):
        await _request(seconds=0.01).read_body(3)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0
    await asyncio.sleep(0.02)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    reading = asyncio.ensure_future(_request().read_body(3))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_client_that_hangs_up_is_gone() -> None:
    with pytest.raises(ClientGone):
        await _request({"type": "http.disconnect"}).read_body(3)


async def test_bodies_that_are_too_much_together_are_refused_and_may_come_again() -> None:
    request = _request(_part(b"abc"))
    request.services.body_bytes = 8  # of others
    with pytest.raises(TooManyBodies) as refused:
        await request.read_body(3)
    assert refused.value.status == 503
    assert {name for name, _ in refused.value.headers} == {b"retry-after", b"connection"}
    request.services.body_bytes = 7
    assert await _again(request).read_body(3) == b"abc"


def _again(request: GatewayRequest) -> GatewayRequest:
    other = _request(_part(b"abc"))
    other.services.body_bytes = request.services.body_bytes
    return other
