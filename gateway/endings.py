"""Ending an exchange: usage, charge, capture, limits, in this order, once."""

import logging
import time
from contextlib import suppress

from billing.batches import UsageFacts
from billing.ledger import LedgerUnavailable
from billing.models import BillingReason
from gateway import settlement
from gateway.errors import describe
from gateway.exchanges import Exchange
from gateway.services import Services
from providers.upstream import UpstreamFailed
from providers.usage import TokenUsage

log = logging.getLogger(__name__)

_OUR_TROUBLE = {
    BillingReason.UPSTREAM_FAILED,
    BillingReason.UPSTREAM_DIED,
    BillingReason.GATEWAY_LOST,
}

_COMPLETE = {BillingReason.COMPLETED, BillingReason.COMPLETED_ESTIMATED}


async def end(
    exchange: Exchange,
    services: Services,
    reason: BillingReason,
    *,
    status: int = 200,
    error_code: str = "",
) -> tuple[TokenUsage, int]:
    """Settle durably. Returns the tokens and nanos charged. Raises `LedgerUnavailable` where
    the charge could be made durable nowhere."""
    ending_at = time.monotonic()
    exchange.begin_ending()
    usage, is_estimated = await settlement.usage_of(exchange, reason, services.counter)
    if reason is BillingReason.COMPLETED and is_estimated:
        reason = BillingReason.COMPLETED_ESTIMATED
    facts = settlement.facts_of(
        exchange, usage, reason, is_estimated=is_estimated, status=status, error_code=error_code
    )
    _correct_limits(exchange, services, reason, usage)
    exchange.is_settled = True
    try:
        await services.ledger.capture(settlement.capture_of(exchange, facts))
    except LedgerUnavailable:
        services.metrics.captures_lost += 1
        raise
    services.metrics.note_end(exchange, facts, ending_at, time.monotonic())
    if services.tracer is not None:
        services.tracer.end(exchange.request, facts)
    if facts.error_code and reason in _OUR_TROUBLE:
        _report(exchange, facts)
    return usage, facts.charge_nanos


def _correct_limits(
    exchange: Exchange, services: Services, reason: BillingReason, usage: TokenUsage
) -> None:
    """What was used, instead of what was expected, which is expected better the next time."""
    principal = exchange.principal
    if not principal.limits.token_buckets:
        return
    services.limiter.correct(
        principal.limits,
        reserved=exchange.tokens_reserved,
        used=usage.total - exchange.tokens_taken,
    )
    if reason in _COMPLETE:
        services.estimates.learn(principal.organization_id, exchange.chat, usage)


def _report(exchange: Exchange, facts: UsageFacts) -> None:
    """One line: which channel failed, of what, and nothing of the content."""
    log.log(
        logging.INFO if 400 <= facts.status < 500 else logging.WARNING,
        "request failed",
        extra={
            "request_id": exchange.request.wire_id,
            "model": facts.model,
            "channel_id": facts.channel_id,
            "failure": facts.error_code,
            "status": facts.status,
            "attempts": facts.attempts,
        },
    )


async def end_failed(exchange: Exchange, services: Services, error: UpstreamFailed) -> None:
    """Nothing came: nothing is charged, and the record says why."""
    described = describe(error)
    await end(
        exchange,
        services,
        BillingReason.UPSTREAM_FAILED,
        status=described.status,
        error_code=error.failure.value,
    )


async def end_lost(exchange: Exchange, services: Services) -> None:
    """The exchange broke off by our own doing (a stop that would not wait, a mistake of ours):
    settled for what was relayed, so that no hold is left behind."""
    reason = BillingReason.GATEWAY_LOST
    with suppress(LedgerUnavailable):
        await end(exchange, services, reason, status=500, error_code="gateway_lost")
