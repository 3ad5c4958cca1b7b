"""The endpoints under /v1: DRF views with a dispatch of their own.

Raw bytes in, bytes out: DRF's parsing, negotiation and rendering, and its threads, would cost
more than everything else a request does. What is kept is the view as DRF knows it, its routing
by method, and its place in the OpenAPI document.
"""

import functools
from collections.abc import Awaitable
from typing import Any, ClassVar

import msgspec
from rest_framework.views import APIView

from billing.ledger import LedgerUnavailable
from gateway import payload, pipeline
from gateway.errors import GatewayError, MethodNotAllowed, UnknownRoute
from gateway.principals import Principal
from gateway.replies import Reply, rate_headers
from gateway.requests import GatewayRequest
from providers.catalog import ModelFacts


class Documented:
    """A view's part of the OpenAPI document. It is made when somebody asks for the document:
    what writes that takes memory which the gateway does not need."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, view: Any, kind: type) -> Any:
        from gateway import openapi

        return getattr(openapi, self._name).__get__(view, kind)


class GatewayView(APIView):
    """Authenticates, then calls the method's handler, which answers or raises."""

    methods: ClassVar[list[str]] = ["GET"]
    needs_key: ClassVar[bool] = True
    request: GatewayRequest  # type: ignore[assignment]

    @classmethod
    def as_view(cls, **settings: Any) -> Any:
        """DRF's view, to be routed and documented as one, on one instance for all requests:
        these views keep nothing of a request."""
        one = cls(**settings)

        @functools.wraps(super().as_view(**settings))
        def view(request: GatewayRequest, *args: Any, **kwargs: Any) -> Awaitable[None]:
            return one.dispatch(request, *args, **kwargs)

        return view

    async def dispatch(  # type: ignore[override]
        self, request: GatewayRequest, *args: Any, **kwargs: Any
    ) -> None:
        if request.method == "OPTIONS":
            await self._preflight(request)
            return
        await self._authenticate(request)
        if request.method not in self.methods:
            raise MethodNotAllowed(str(request.method), self.methods)
        await getattr(self, request.method.lower())(request, request.principal, **kwargs)

    async def _authenticate(self, request: GatewayRequest) -> None:
        """Sets the request's principal. What is wrong with the address or the method is told
        without a key too."""
        try:
            request.principal = await request.services.principals.resolve(
                request.raw_headers.get(b"authorization"), request.address
            )
        except (GatewayError, LedgerUnavailable):
            if self.needs_key and request.method in self.methods:
                raise
        else:
            request.services.note_use(request.principal.api_key_id)

    async def _preflight(self, request: GatewayRequest) -> None:
        """CORS: any origin may call with a key of its own; there are no cookies to protect."""
        wanted = request.raw_headers.get(b"access-control-request-headers", b"*")
        await request.client.reply(
            Reply(
                204,
                b"",
                [
                    (b"access-control-allow-methods", ", ".join(self.methods).encode()),
                    (b"access-control-allow-headers", wanted[:1000]),
                    (b"access-control-max-age", b"86400"),
                    (b"vary", b"access-control-request-headers"),
                ],
            )
        )

    async def _reply(self, request: GatewayRequest, principal: Principal, body: Any) -> None:
        decision = await request.services.limiter.peek(principal.limits)
        request.decision = decision
        request.client.add_headers(rate_headers(decision))
        await request.client.reply(Reply(200, msgspec.json.encode(body)))


class ChatCompletions(GatewayView):
    """`POST /v1/chat/completions`: one answer of a model, whole or streamed."""

    methods: ClassVar[list[str]] = ["POST"]
    schema = Documented("CHAT")

    async def post(self, request: GatewayRequest, principal: Principal) -> None:
        request.check_media()
        # The bytes are not kept beside what they say.
        chat = payload.parse(await request.read_body(principal.body_bytes_max))
        await pipeline.complete(request, principal, chat, request.services)


class Models(GatewayView):
    """`GET /v1/models`: the models this key may name."""

    schema = Documented("MODELS")

    async def get(self, request: GatewayRequest, principal: Principal) -> None:
        models = [_model(model) for model in request.services.routes.visible(principal)]
        await self._reply(request, principal, {"object": "list", "data": models})


class ModelDetail(GatewayView):
    """`GET /v1/models/{id}`."""

    schema = Documented("MODEL")

    async def get(self, request: GatewayRequest, principal: Principal, name: str) -> None:
        model = request.services.routes.find(name, principal)
        await self._reply(request, principal, _model(model))


class Unknown(GatewayView):
    """Everything else under /v1: JSON too."""

    schema = None  # nothing to document
    needs_key: ClassVar[bool] = False
    methods: ClassVar[list[str]] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

    async def _refuse(self, request: GatewayRequest, principal: Principal | None, **_: Any) -> None:
        raise UnknownRoute(f"Unknown request URL: {request.method} {request.path[:200]}.")

    get = post = put = patch = delete = head = _refuse


def _model(model: ModelFacts) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "context_length": model.context_tokens,
    }
