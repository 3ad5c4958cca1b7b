"""The end of an exchange as money: what it is charged, by how it ended, durably.

The table is `money.md`'s promise to customers: see /docs. Whoever saw the completion end is
charged what the provider reported; whoever did not, never more than the prompt and what was
relayed; whoever got nothing, nothing.
"""

import asyncio
import time

import msgspec

from billing import pricing
from billing.batches import Capture, UsageFacts
from billing.models import BillingReason
from gateway.counting import TokenCounter
from gateway.exchanges import Exchange
from gateway.payload import prompt_texts
from providers.usage import TokenUsage

NOTHING = TokenUsage()
# A chat template frames every message with about three tokens of its own, and the answer too.
_MESSAGE_TOKENS = 3


async def usage_of(
    exchange: Exchange, reason: BillingReason, counter: TokenCounter
) -> tuple[TokenUsage, bool]:
    """The tokens to charge, and whether they are counted by us."""
    meter = exchange.meter
    if reason in _FREE or (reason not in _COMPLETE and not meter.has_relayed):
        return NOTHING, False
    if meter.reported is not None and (meter.reported.completion or not meter.has_relayed):
        if reason in _COMPLETE:
            return meter.reported, False
        relayed = await counter.count([meter.text])
        return _at_most(meter.reported, relayed), True
    prompt = await _prompt_tokens(exchange, counter)
    output = await counter.count([meter.text])
    return TokenUsage(input=prompt, output=output), True


_FREE = {BillingReason.CLIENT_GONE_EARLY, BillingReason.UPSTREAM_FAILED}
_COMPLETE = {BillingReason.COMPLETED, BillingReason.COMPLETED_ESTIMATED}


def _at_most(usage: TokenUsage, completion: int) -> TokenUsage:
    """A report that came before the end may count what the client never got. Reasoning is what
    a model says first."""
    reasoning = min(usage.reasoning_output, completion)
    output = min(usage.output, completion - reasoning)
    return msgspec.structs.replace(usage, output=output, reasoning_output=reasoning)


async def _prompt_tokens(exchange: Exchange, counter: TokenCounter) -> int:
    if exchange.prompt_tokens_counted is None:
        chat = exchange.chat.chat
        counted = await counter.count(prompt_texts(chat, exchange.chat.body))
        framing = _MESSAGE_TOKENS * (len(chat.messages) + 1)
        exchange.prompt_tokens_counted = min(counted + framing, exchange.route.model.context_tokens)
    return exchange.prompt_tokens_counted


def facts_of(
    exchange: Exchange,
    usage: TokenUsage,
    reason: BillingReason,
    *,
    is_estimated: bool,
    status: int,
    error_code: str,
) -> UsageFacts:
    """The usage record of this moment, priced at the exchange's start."""
    route, principal = exchange.route, exchange.principal
    now = time.monotonic()
    first = exchange.first_token_at
    return UsageFacts(
        id=exchange.hold.id,
        organization_id=principal.organization_id,
        project_id=principal.project_id,
        api_key_id=principal.api_key_id,
        model=route.model.name,
        provider=exchange.channel.provider if exchange.channel else "",
        channel_id=exchange.channel.id if exchange.channel else None,
        price_id=route.price.id,
        markup_ppm=principal.markup_ppm,
        input_tokens=usage.input,
        cached_input_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
        reasoning_output_tokens=usage.reasoning_output,
        charge_nanos=pricing.charge(route.price, route.started_at, usage, principal.markup_ppm),
        billing_reason=reason.value,
        is_estimated=is_estimated,
        is_stream=exchange.chat.is_stream,
        status=status,
        error_code=error_code,
        attempts=exchange.attempts,
        first_token_ms=int((first - exchange.request.started) * 1000) if first else None,
        duration_ms=int((now - exchange.request.started) * 1000),
        started_at=route.started_at,
    )


def capture_of(exchange: Exchange, facts: UsageFacts) -> Capture:
    hold = exchange.hold
    return Capture(
        facts,
        hold.wallet_id,
        hold.amount_nanos,
        hold.is_capped,
        hold.held_at,
        hold.is_project_capped,
    )


def progress_of(exchange: Exchange) -> UsageFacts | None:
    """What would be charged if the gateway died now: the prompt, and at least one token for
    each piece relayed. None before the first token, or until the prompt has been counted."""
    if not exchange.meter.has_relayed or exchange.prompt_tokens_counted is None:
        return None
    usage = TokenUsage(input=exchange.prompt_tokens_counted, output=exchange.meter.pieces)
    return facts_of(
        exchange,
        usage,
        BillingReason.GATEWAY_LOST,
        is_estimated=True,
        status=200,
        error_code="gateway_lost",
    )


async def count_prompts(exchanges: list[Exchange], counter: TokenCounter) -> None:
    """Count what `progress_of` needs, for exchanges that have run long enough to need it."""
    await asyncio.gather(*[_prompt_tokens(exchange, counter) for exchange in exchanges])
