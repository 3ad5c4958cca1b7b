"""The ASGI entrance: /v1 and the health checks here, everything else to stock Django.

A thin handler in front of Django instead of a view inside it, because the stock handler and its
middleware cost a request five times what relaying it does. There is no request signal, so no
per-request connection handling either: nothing on this path may use the ORM.
"""

import asyncio
import functools
import gc
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from django.urls import ResolverMatch, get_resolver
from structlog import contextvars

from gateway import errors, exposition, payload
from gateway.replies import Reply, rate_headers
from gateway.requests import ClientGone, GatewayRequest, client_address
from gateway.services import Services
from providers.upstream import UpstreamFailed

log = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Any, Any], Any]


@functools.lru_cache(maxsize=1024)
def _resolve(path: str) -> ResolverMatch:
    return get_resolver("gateway.urls").resolve(path)


class GatewayHandler:
    """Serves the data path, and passes on what is not of it."""

    def __init__(self, fallback: Application) -> None:
        self._fallback = fallback
        self.services = Services()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "http":
            path = scope["path"]
            if path.startswith("/v1/") or path == "/v1":
                await self._serve(scope, receive, send)
            elif path == "/metrics" and exposition.is_allowed(scope):
                await exposition.answer(self.services, send)
            elif path in ("/healthz", "/readyz"):
                await self._tell_health(GatewayRequest(scope, receive, send, self.services))
            else:
                # The pages' own limits go by address too.
                seen = {**scope, "client": (client_address(scope), 0)}
                await self._fallback(seen, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close"})  # there is none anywhere: a 403
        elif kind == "lifespan":
            await self._live(receive, send)

    async def _serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        request = GatewayRequest(scope, receive, send, self.services)
        # Every line logged on the way says whose it is.
        contextvars.bind_contextvars(request_id=request.wire_id)
        try:
            match = _resolve(request.path)
            await match.func(request, *match.args, **match.kwargs)
        except ClientGone:
            # Nobody is listening; an answer closes the exchange for the server all the same.
            if not request.client.is_started:
                await request.client.reply(Reply(499, b"", [(b"connection", b"close")]))
        except Exception as error:
            await self._answer_error(request, error)
        finally:
            self.services.body_bytes -= request.body_bytes

    async def _answer_error(self, request: GatewayRequest, error: Exception) -> None:
        described = errors.describe(error)
        self.services.metrics.errors[described.status, described.code or described.type] += 1
        is_told = isinstance(error, UpstreamFailed) or described.code == "internal_error"
        if described.status >= 500 and not is_told:
            extra = {"failure": described.code, "status": described.status}
            log.warning("request failed", extra=extra)
        if request.client.is_started:
            log.error("%s failed after its answer had begun", request.wire_id, exc_info=error)
            await request.client.end_stream(b"data: " + described.envelope() + b"\n\n")
            return
        if request.principal is not None and request.decision is None:
            request.decision = await self.services.limiter.peek(request.principal.limits)
            request.client.add_headers(rate_headers(request.decision))
        await request.client.reply(described.reply())

    async def _tell_health(self, request: GatewayRequest) -> None:
        if request.path == "/healthz":
            await request.client.reply(Reply(200, b'{"status":"ok"}'))
            return
        parts = self.services.readiness()
        is_ready = "unavailable" not in parts.values()
        body = {"status": "ok" if is_ready else "unavailable", **parts}
        await request.client.reply(Reply(200 if is_ready else 503, msgspec.json.encode(body)))

    async def _live(self, receive: Any, send: Any) -> None:
        """The process's life: services start before the first request and stop after the last."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                payload.parse(b'{"model":"m","messages":[{"role":"user","content":"warm up"}]}')
                _resolve("/v1/chat/completions")  # loads the views
                await self.services.start()
                sharing = asyncio.create_task(exposition.share_forever(self.services))
                # What is loaded now stays: collecting garbage need not look at it again.
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000, 20, 50)
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.services.stop()
                sharing.cancel()
                await asyncio.gather(sharing, return_exceptions=True)
                await send({"type": "lifespan.shutdown.complete"})
                return
