"""Answers in one piece: read whole, charged, and only then handed over."""

from typing import Any

import msgspec

from billing.models import BillingReason
from gateway import attempts, endings
from gateway.errors import InvalidKey
from gateway.exchanges import Exchange, Interrupt, Interrupted
from gateway.metering import texts_of, usage_object
from gateway.relaying import Aggregate
from gateway.replies import Reply
from gateway.requests import PROVIDER_HEADER, ClientGone
from gateway.services import Services
from providers.catalog import ChannelFacts
from providers.upstream import Failure, StreamDied, UpstreamFailed, event_of


async def answer(exchange: Exchange, services: Services) -> None:
    """Relay one whole answer. Raises `UpstreamFailed` where no channel brought one (settled)."""
    try:
        with attempts.hearing_client(exchange, at_once=False):
            body = await _first_answer(exchange, services)
    except Interrupted as error:
        reason, code = BillingReason.CLIENT_GONE_EARLY, error.reason.value
        if error.reason is Interrupt.REVOKED:
            await endings.end(exchange, services, reason, status=401, error_code=code)
            raise InvalidKey("This API key may not be used any more.") from error
        await endings.end(exchange, services, reason, status=499, error_code=code)
        raise ClientGone from error
    except UpstreamFailed as error:
        await endings.end_failed(exchange, services, error)
        raise
    channel = exchange.channel
    assert channel is not None
    exchange.meter.relayed(_texts(body))
    usage, charge_nanos = await endings.end(exchange, services, BillingReason.COMPLETED)
    _complete_choices(body)
    body["id"] = "chatcmpl-" + exchange.request.request_id.hex
    body["object"] = "chat.completion"
    body["created"] = int(exchange.request.started_at.timestamp())
    body["model"] = exchange.route.model.name
    body["usage"] = usage_object(usage, charge_nanos)
    exchange.client.add_headers([(PROVIDER_HEADER, channel.provider.encode())])
    await exchange.client.reply(Reply(200, msgspec.json.encode(body)))


async def _first_answer(exchange: Exchange, services: Services) -> dict[str, Any]:
    """The first channel's answer that is one."""
    failed = UpstreamFailed(Failure.REFUSED, "no channel is enabled")
    for channel in attempts.channels(exchange, services.retries):
        try:
            with attempts.interruptible(exchange):
                body = await _ask(exchange, channel, services)
            _check(body)
        except (UpstreamFailed, StreamDied, Interrupted) as error:
            failed = attempts.failure_of(error, channel)
            continue
        channel.health.succeed()
        exchange.begin_ending()
        exchange.meter.read_usage(body.get("usage"), channel.dialect)
        return body
    raise failed


async def _ask(exchange: Exchange, channel: ChannelFacts, services: Services) -> dict[str, Any]:
    defaults = exchange.route.model.request_defaults
    is_stream = channel.dialect.must_stream({**exchange.chat.body, **defaults})
    exchange.wait_upstream(services.options["ANSWER_TIMEOUT_SECONDS"])
    request = exchange.request
    async with services.upstream.send(
        channel,
        attempts.upstream_body(exchange, is_stream=is_stream),
        request.wire_id,
        request.traceparent,
    ) as reply:
        if not is_stream:
            return await reply.json()
        whole = Aggregate()

        def take(payloads: list[bytes]) -> bool:
            whole.add([event_of(payload) for payload in payloads])
            exchange.wait_upstream(services.options["IDLE_TIMEOUT_SECONDS"])
            return False

        while not reply.is_over:
            await reply.flow(take)
        if not reply.is_done and not whole.is_finished:
            raise StreamDied("the stream ended without an end")
        return whole.body()


def _check(body: dict[str, Any]) -> None:
    """An answer has choices with messages; anything else is not passed on as one."""
    choices = body.get("choices")
    if body.get("error") or not isinstance(choices, list) or not choices:
        raise UpstreamFailed(Failure.GARBAGE, "an answer without choices")
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise UpstreamFailed(Failure.GARBAGE, "a choice without a message")


def _complete_choices(body: dict[str, Any]) -> None:
    """Fields that OpenAI's schema requires and providers leave out: clients that check it see
    them, as null."""
    for index, choice in enumerate(body["choices"]):
        choice.setdefault("index", index)
        choice.setdefault("logprobs", None)
        choice["message"].setdefault("content", None)
        choice["message"].setdefault("refusal", None)


def _texts(body: dict[str, Any]) -> list[str]:
    return [text for choice in body["choices"] for text in texts_of(choice, "message")]
