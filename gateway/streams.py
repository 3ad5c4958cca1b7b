"""Answers as streams: relayed as they come, charged before their end is shown."""

from billing.ledger import LedgerUnavailable
from billing.models import BillingReason
from gateway import attempts, endings
from gateway.errors import InvalidKey, describe
from gateway.exchanges import Exchange, Interrupt, Interrupted
from gateway.metering import usage_object
from gateway.passage import Passage
from gateway.relaying import DONE, Relay
from gateway.requests import ClientGone
from gateway.services import Services
from providers.catalog import ChannelFacts
from providers.upstream import Failure, StreamDied, UpstreamFailed


async def answer(exchange: Exchange, services: Services) -> None:
    """Relay one stream to its end, whichever end that is, and settle it.

    Raises only while nothing has been sent, so that the error can still have a status.
    """
    try:
        with attempts.hearing_client(exchange, at_once=True):
            relay = await _first_stream(exchange, services)
    except Interrupted as error:
        await _end_interrupted(exchange, services, error)
        return
    except StreamDied:
        await _end_died(exchange, services)
        return
    except UpstreamFailed as error:
        await endings.end_failed(exchange, services, error)
        if not exchange.client.is_started:
            raise
        await exchange.client.end_stream(_error_event(error))
        return
    try:
        usage, charge_nanos = await endings.end(exchange, services, BillingReason.COMPLETED)
    except LedgerUnavailable as error:
        # Not charged, so it must not look finished.
        await exchange.client.end_stream(_error_event(error))
        return
    last = relay.usage_chunk(usage_object(usage, charge_nanos))
    await exchange.client.end_stream((last if exchange.chat.wants_usage else b"") + DONE)


async def _first_stream(exchange: Exchange, services: Services) -> Relay:
    """Relay the first channel's stream that brings a token; a channel that fails before its
    first token is followed by the next, and nothing of it is shown."""
    failed = UpstreamFailed(Failure.REFUSED, "no channel is enabled")
    for channel in attempts.channels(exchange, services.retries):
        relay = _relay(exchange, channel)
        try:
            with attempts.interruptible(exchange):
                await _carry(exchange, channel, relay, services)
        except (UpstreamFailed, StreamDied, Interrupted) as error:
            if exchange.first_token_at is not None:
                if not isinstance(error, Interrupted):
                    channel.health.fail()
                raise  # the client has seen something
            failed = attempts.failure_of(error, channel)
            continue
        channel.health.succeed()
        return relay
    raise failed


def _relay(exchange: Exchange, channel: ChannelFacts) -> Relay:
    return Relay(
        completion_id="chatcmpl-" + exchange.request.request_id.hex,
        created=int(exchange.request.started_at.timestamp()),
        model=exchange.route.model.name,
        wants_usage=exchange.chat.wants_usage,
        meter=exchange.meter,
        dialect=channel.dialect,
    )


async def _carry(
    exchange: Exchange, channel: ChannelFacts, relay: Relay, services: Services
) -> None:
    """One attempt, from its request to the end of its stream."""
    options = services.options
    exchange.wait_upstream(options["FIRST_TOKEN_TIMEOUT_SECONDS"])
    passage = Passage(exchange, channel, relay, options["IDLE_TIMEOUT_SECONDS"])
    request = exchange.request
    # The body is given away: it is not kept while the answer streams.
    async with services.upstream.send(
        channel,
        attempts.upstream_body(exchange, is_stream=True),
        request.wire_id,
        request.traceparent,
    ) as reply:
        while not reply.is_over:
            await reply.flow(passage.take, passage.glance)
            await passage.settle()
        exchange.begin_ending()
        if not reply.is_done and not relay.is_finished:
            raise StreamDied("the stream ended without an end")
    if not relay.has_token:
        raise UpstreamFailed(Failure.GARBAGE, "a stream without an answer")


async def _end_interrupted(exchange: Exchange, services: Services, error: Interrupted) -> None:
    relayed = exchange.meter.has_relayed
    if error.reason is Interrupt.TIMEOUT:
        # Only reached mid-stream: before the first token a timeout moves on to the next channel.
        await _end_died(exchange, services)
        return
    reason = BillingReason.CLIENT_GONE if relayed else BillingReason.CLIENT_GONE_EARLY
    if error.reason is Interrupt.REVOKED:
        gone = InvalidKey("This API key may not be used any more.")
        status = 200 if exchange.client.is_started else gone.status
        await endings.end(exchange, services, reason, status=status, error_code="revoked")
        if not exchange.client.is_started:
            raise gone
        await exchange.client.end_stream(_error_event(gone))
        return
    await endings.end(exchange, services, reason, status=499, error_code=error.reason.value)
    raise ClientGone


async def _end_died(exchange: Exchange, services: Services) -> None:
    """The provider broke off after the first token: charged for what was relayed, an error
    event, and no `[DONE]`."""
    code = "upstream_died"
    await endings.end(exchange, services, BillingReason.UPSTREAM_DIED, status=200, error_code=code)
    error = UpstreamFailed(Failure.UNREACHABLE)
    await exchange.client.end_stream(_error_event(error))


def _error_event(error: BaseException) -> bytes:
    return b"data: " + describe(error).envelope() + b"\n\n"
