"""Trying the channels of a route, and what to do when a try, or the client, breaks off."""

import asyncio
import functools
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from django.conf import settings

from gateway.exchanges import Exchange, Interrupt, Interrupted
from gateway.retries import RetryBudget
from providers.catalog import ChannelFacts
from providers.upstream import Failure, StreamDied, UpstreamFailed

ATTEMPTS_MAX = 3


def channels(exchange: Exchange, retries: RetryBudget) -> Iterator[ChannelFacts]:
    """The channels to try, each noted as the exchange's own before it is tried. Ends early where
    the process has no second attempt left to give."""
    for channel in exchange.route.channels[:ATTEMPTS_MAX]:
        if exchange.asked_at is None:
            exchange.asked_at = time.monotonic()
            retries.note_request()
        elif not retries.take():
            return
        exchange.channel = channel
        exchange.attempts += 1
        channel.health.attempts += 1
        # Nothing of a failed attempt is left in the next: not its end, not what it reported.
        exchange.is_ending, exchange.meter.reported = False, None
        yield channel


class interruptible:
    """Inside, a cancellation that the watch asked for is an `Interrupted`."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            reason = self._exchange.take_interrupt()
            if reason is not None:
                raise Interrupted(reason) from None


def failure_of(error: Exception, channel: ChannelFacts) -> UpstreamFailed:
    """What an attempt that brought no token failed of. Raises `error` again where another
    channel would not help: the client is gone, or its own request is to blame."""
    if isinstance(error, Interrupted):
        if error.reason is not Interrupt.TIMEOUT:
            raise error
        failed = UpstreamFailed(Failure.TIMEOUT)
    elif isinstance(error, StreamDied):
        failed = UpstreamFailed(Failure.GARBAGE, str(error))
    else:
        assert isinstance(error, UpstreamFailed)
        if error.failure is Failure.REJECTED:
            raise error
        failed = error
    channel.health.fail(failed.failure)
    return failed


class hearing_client:
    """Inside, a client that hangs up interrupts the exchange. Where not `at_once`, it is listened
    to from the watch's next walk on: most exchanges have ended by then, and pay nothing."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange, *, at_once: bool) -> None:
        self._exchange = exchange
        exchange.may_listen = True
        if at_once:
            exchange.listen()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._exchange.stop_listening()


def upstream_body(exchange: Exchange, *, is_stream: bool) -> bytes:
    """The body for the exchange's channel, in its provider's dialect."""
    channel, chat = exchange.channel, exchange.chat
    assert channel is not None
    body: dict[str, Any] = {**chat.body, **exchange.route.model.request_defaults}
    body["model"] = channel.upstream_model
    if exchange.output_tokens_limit is not None:
        body["max_tokens"] = exchange.output_tokens_limit
    if is_stream:
        options = body.get("stream_options") or {}
        body["stream"] = True
        body["stream_options"] = {**options, "include_usage": True}
    else:
        body.pop("stream_options", None)
        body["stream"] = False
    return msgspec.json.encode(
        channel.dialect.request(body, _tenant(exchange.principal.organization_id))
    )


@functools.lru_cache(maxsize=10_000)
def _tenant(organization_id: int) -> str:
    """An organization's name for providers: stable, and telling nothing."""
    text = f"{settings.SECRET_KEY}:{organization_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
