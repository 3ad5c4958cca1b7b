"""One chat completion, from a validated request to a durable charge."""

import asyncio

import msgspec

from billing import pricing
from billing.batches import Authorization, Hold
from billing.ledger import InsufficientFunds, SpendCapExceeded
from gateway import endings, streams, wholes
from gateway.errors import InvalidRequest, LimitExceeded, Overloaded, Shortfall
from gateway.exchanges import Exchange
from gateway.metering import Meter
from gateway.payload import ChatRequest
from gateway.principals import Principal
from gateway.replies import rate_headers
from gateway.requests import GatewayRequest
from gateway.routes import Route
from gateway.services import Services

# An answer has to have room for at least this many tokens where the client named no limit.
OUTPUT_TOKENS_MIN = 16


class Quote(msgspec.Struct, frozen=True):
    """What one request may cost: linear in its output tokens, from a least to a most."""

    ceiling: pricing.Ceiling
    tokens_max: int  # of all choices together
    tokens_min: int
    choices: int

    def limit(self, hold: Hold) -> int | None:
        """The output limit of each choice to send upstream where the client set none: what the
        hold pays for, None where that is all the model can produce."""
        if self.tokens_min == self.tokens_max:
            return None
        affordable = self.ceiling.affordable_tokens(hold.amount_nanos)
        return None if affordable >= self.tokens_max else max(affordable // self.choices, 1)


async def complete(
    request: GatewayRequest, principal: Principal, chat: ChatRequest, services: Services
) -> None:
    """Answer one chat completion. Raises what `gateway.errors` knows, and nothing is charged."""
    route = services.routes.resolve(chat.model, principal, request.started_at)
    quote = _quote(chat, route, principal)
    tokens_reserved, hold = await _start(request, principal, chat, quote, services)
    exchange = Exchange(
        request, principal, chat, route, hold, _meter(chat, route), tokens_reserved,
        _current_task(), quote.limit(hold),
    )  # fmt: skip
    services.watch.add(exchange)
    if services.tracer is not None:
        services.tracer.begin(request, route.model.name)
    try:
        await (streams if chat.is_stream else wholes).answer(exchange, services)
    except BaseException:
        if not exchange.is_settled:
            await endings.end_lost(exchange, services)
        raise
    finally:
        services.watch.discard(exchange)


async def _start(
    request: GatewayRequest, principal: Principal, chat: ChatRequest, quote: Quote,
    services: Services,
) -> tuple[int, Hold]:  # fmt: skip
    """The tokens taken from the limits, and the money held. What waits here is in flight too."""
    watch = services.watch
    if len(watch) >= services.options["IN_FLIGHT_MAX"]:
        raise Overloaded
    watch.starting += 1
    try:
        tokens_reserved = await _admit(request, principal, chat, services)
        try:
            return tokens_reserved, await _authorize(request, principal, quote, services)
        except BaseException:
            services.limiter.correct(principal.limits, requests=1, reserved=tokens_reserved, used=0)
            raise
    finally:
        watch.starting -= 1


async def _admit(
    request: GatewayRequest, principal: Principal, chat: ChatRequest, services: Services
) -> int:
    """Take the request and its estimated tokens from the limits. Returns the tokens taken."""
    estimate = services.estimates.tokens(principal.organization_id, chat)
    decision = await services.limiter.reserve(principal.limits, tokens=estimate)
    services.metrics.note_decision(decision)
    request.decision = decision
    request.client.add_headers(rate_headers(decision))
    if not decision.is_allowed:
        raise LimitExceeded(decision)
    return estimate


def _quote(chat: ChatRequest, route: Route, principal: Principal) -> Quote:
    """Raises `InvalidRequest` where the client asks for more than the model can produce. Where
    it named no limit, an answer that the wallet cuts short will do."""
    model, wanted = route.model, chat.output_tokens_max
    if wanted is not None and wanted > model.output_tokens_max:
        name = "max_tokens" if chat.chat.max_tokens else "max_completion_tokens"
        raise InvalidRequest(
            f"'{name}' is too large: {wanted:,}. {model.name} produces at most"
            f" {model.output_tokens_max:,} tokens.",
            param=name,
        )
    tokens_max = wanted or model.output_tokens_max
    tokens_min = wanted or min(OUTPUT_TOKENS_MIN, tokens_max)
    prompt_tokens_max = min(chat.prompt_tokens_max, model.context_tokens)
    ceiling = pricing.ceiling(
        route.price, route.started_at, prompt_tokens_max, principal.markup_ppm
    )
    return Quote(ceiling, tokens_max * chat.choices, tokens_min * chat.choices, chat.choices)


async def _authorize(
    request: GatewayRequest, principal: Principal, quote: Quote, services: Services
) -> Hold:
    """Hold what the request can cost at most, or at least what it may cost. Raises `Shortfall`."""
    ceiling = quote.ceiling
    try:
        return await services.ledger.authorize(
            Authorization(
                id=request.request_id,
                wallet_id=principal.wallet_id,
                amount_nanos=ceiling.nanos(quote.tokens_max),
                minimum_nanos=ceiling.nanos(quote.tokens_min),
                api_key_id=principal.api_key_id,
                cap_day_nanos=principal.cap_day_nanos,
                cap_month_nanos=principal.cap_month_nanos,
                project_id=principal.project_id,
                cap_project_month_nanos=principal.cap_project_month_nanos,
            )
        )
    except InsufficientFunds as error:
        if isinstance(error, SpendCapExceeded):
            services.note_capped(principal.organization_id)
        raise Shortfall(error, ceiling.affordable_tokens(error.available_nanos)) from None


def _meter(chat: ChatRequest, route: Route) -> Meter:
    return Meter(
        context_tokens=route.model.context_tokens,
        output_tokens_max=route.model.output_tokens_max * chat.choices,
    )


def _current_task() -> "asyncio.Task[None]":
    task = asyncio.current_task()
    assert task is not None
    return task
