"""One HTTP request under /v1, as thin as the hot path needs it."""

import asyncio
import ipaddress
import re
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest

from billing import ids
from gateway.errors import BodyTimeout, PayloadTooLarge, TooManyBodies, UnsupportedMedia
from gateway.principals import Network, Principal
from gateway.replies import CORS, Client, Send
from ratelimits.buckets import Decision

if TYPE_CHECKING:
    from gateway.services import Services

_TRUSTED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text, strict=False) for text in settings.GATEWAY["TRUSTED_PROXIES"]
)
PROVIDER_HEADER = b"x-ttonk-provider"
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class ClientGone(Exception):
    """The client hung up. There is nobody to answer."""


class GatewayRequest(HttpRequest):
    """What Django's views expect of a request, made from the ASGI scope without parsing what
    the gateway does not use (cookies, forms, META)."""

    # Where requests are traced: the span, and what its children call their parent.
    span: Any = None
    span_parent = ""

    def __init__(
        self, scope: dict[str, Any], receive: Any, send: Send, services: "Services"
    ) -> None:
        # Not calling super().__init__() is the point: it builds what /v1 never reads.
        self.scope = scope
        self.receive = receive
        self.services = services
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.started_at = datetime.now(UTC)
        self.started = time.monotonic()
        self.request_id: uuid.UUID = ids.uuid7()
        self.raw_headers: dict[bytes, bytes] = dict(scope["headers"])
        # The id as clients see it.
        self.wire_id = "req_" + self.request_id.hex
        headers = [(b"x-request-id", self.wire_id.encode())]
        if b"origin" in self.raw_headers:
            headers += CORS
        self.client = Client(send, headers)
        self.principal: Principal | None = None
        self.decision: Decision | None = None
        # What this request's body adds to `Services.body_bytes`.
        self.body_bytes = 0

    def __repr__(self) -> str:
        return f"<GatewayRequest {self.method} {self.path!r} {self.wire_id}>"

    @property
    def traceparent(self) -> str:
        """The request's own span, else the caller's trace (W3C Trace Context), where it sent one
        that is well formed."""
        if self.span_parent:
            return self.span_parent
        sent = self.raw_headers.get(b"traceparent")
        return sent.decode() if sent is not None and _TRACEPARENT.fullmatch(sent) else ""

    @property
    def address(self) -> str:
        """The caller's address, as `client_address` has it."""
        return client_address(self.scope)

    def check_media(self) -> None:
        """Raises `UnsupportedMedia` for a compressed or non-JSON body."""
        encoding = self.raw_headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"", b"identity"):
            raise UnsupportedMedia("Compressed request bodies are not accepted.")
        media = self.raw_headers.get(b"content-type", b"application/json")
        media = media.split(b";")[0].strip().lower()
        if media != b"application/json" and not media.endswith(b"+json"):
            raise UnsupportedMedia("Send the request body as 'Content-Type: application/json'.")

    async def read_body(self, bytes_max: int) -> bytes:
        """The whole body. Raises `PayloadTooLarge`, `BodyTimeout`, `ClientGone`, or `Overloaded`
        where all bodies of this process together exceed their bound."""
        declared = self.raw_headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:19]) > bytes_max:
            raise PayloadTooLarge(bytes_max)
        task = asyncio.current_task()
        assert task is not None
        reading = Reading(task, self.services.options["BODY_TIMEOUT_SECONDS"])
        self.services.watch.readings.add(reading)
        try:
            return await self._read_parts(bytes_max)
        except asyncio.CancelledError:
            if not reading.is_late:
                raise
            task.uncancel()
            raise BodyTimeout from None
        finally:
            self.services.watch.readings.discard(reading)

    async def _read_parts(self, bytes_max: int) -> bytes:
        parts, services = [], self.services
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            self.body_bytes += len(part)
            services.body_bytes += len(part)
            if self.body_bytes > bytes_max:
                raise PayloadTooLarge(bytes_max)
            if services.body_bytes > services.options["BODIES_BYTES_MAX"]:
                raise TooManyBodies
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts) if len(parts) > 1 else bytes(part)


class Reading:
    """A task that reads a body, which the watch cancels when it is late."""

    __slots__ = ("is_late", "task", "until")

    def __init__(self, task: "asyncio.Task[Any]", seconds: float) -> None:
        self.task = task
        self.until = time.monotonic() + seconds
        self.is_late = False

    def give_up(self) -> None:
        self.is_late = True
        self.task.cancel()


def client_address(scope: dict[str, Any]) -> str:
    """Who is calling: the peer, or whoever the nearest untrusted hop before our own load
    balancers was. Without `TTONK_TRUSTED_PROXIES`, forwarded addresses are not believed."""
    address = _bare(str((scope.get("client") or ("", 0))[0]))
    if not _TRUSTED:
        return address
    forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1")
    for hop in reversed(forwarded.split(",")):
        if not _is_trusted(address):
            break
        address = _bare(hop.strip()) or address
    return address


def _bare(text: str) -> str:
    """The address alone, of what servers and proxies write: `[v6]:port`, `v4:port`, and v4
    inside v6, which allow-lists would otherwise not know again."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text.removeprefix("::ffff:") if "." in text else text


def _is_trusted(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in _TRUSTED)
