"""One POST to a customer's receiver: to a vetted address, in bounded time, and no further.

What the receiver answers is read up to a bound and never obeyed: no redirect, no cookie, no proxy
from the environment. The connection goes to the address that was vetted, while TLS asks for, and
checks, the name.
"""

import logging
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore

from accounts.webhooks import addresses
from accounts.webhooks.models import RESPONSE_CHARS

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
# Once the status is there, so long for what follows it: the answer is decided.
_BODY_SECONDS = 2.0
_BODY_BYTES_MAX = 8_192
USER_AGENT = "ttonkapi-webhooks/1"
# What `Outcome.error` may be, beside a status that is no success.
ERRORS = ("address", "name", "timeout", "connection", "tls", "answer", "status", "redirect")


class _NoTls(httpcore.ConnectError):
    """Connected, and then no agreement: mostly a certificate that does not fit the name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `error` is empty for a success."""

    status: int | None
    error: str
    response: str
    duration_ms: int


def post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
    """Send it once; never raises for what a receiver or its network does."""
    began = time.monotonic()
    status: int | None = None
    response = ""
    try:
        target = addresses.vet(url)
        status, response = _exchange(target, headers, body, began + TOTAL_SECONDS)
        error = _judge(status)
    except addresses.Refused as refused:
        error = "name" if refused.why in ("unknown", "slow") else "address"
    except httpcore.TimeoutException:
        error = "timeout"
    except (ssl.SSLError, _NoTls):
        error = "tls"
    except httpcore.ProtocolError:
        error = "answer"
    except (httpcore.NetworkError, OSError):
        error = "connection"
    except Exception:
        # A mistake of ours with one receiver's answer must not cost the others their round.
        log.exception("a webhook's answer was not understood")
        error = "answer"
    return Outcome(status, error, response, int((time.monotonic() - began) * 1_000))


def _judge(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return "redirect" if 300 <= status < 400 else "status"


def _exchange(
    target: addresses.Target, headers: dict[str, str], body: bytes, deadline: float
) -> tuple[int, str]:
    network = _Pinned(target, deadline)
    with httpcore.ConnectionPool(
        ssl_context=_tls, max_connections=1, network_backend=network, retries=0
    ) as pool:
        own = {"Host": _host(target), "Connection": "close", "Accept-Encoding": "identity"}
        address = httpcore.URL(
            scheme=target.url.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=_path(target),
        )
        with pool.stream(
            "POST", address, headers=list({**own, **headers}.items()), content=body
        ) as answer:
            return answer.status, _read(answer, network)


def _read(answer: httpcore.Response, network: "_Pinned") -> str:
    """The beginning of the body, as far as it comes in time."""
    network.deadline = min(network.deadline, time.monotonic() + _BODY_SECONDS)
    read = b""
    try:
        for chunk in answer.iter_stream():
            read += chunk[: _BODY_BYTES_MAX - len(read)]
            if len(read) >= _BODY_BYTES_MAX:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # it has said whether it took the event
    return read.decode(errors="replace").replace("\0", "")[:RESPONSE_CHARS]


def _path(target: addresses.Target) -> bytes:
    path = target.url.path or "/"
    return (f"{path}?{target.url.query}" if target.url.query else path).encode()


def _host(target: addresses.Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.url.scheme == "https" else 80
    return host if target.port == usual else f"{host}:{target.port}"


_tls = ssl.create_default_context()


class _Pinned(httpcore.NetworkBackend):
    """Connects to the vetted addresses, whatever name it is given, and only until the deadline."""

    def __init__(self, target: addresses.Target, deadline: float) -> None:
        self._target = target
        self.deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        until = min(self.deadline, time.monotonic() + CONNECT_SECONDS)
        failed: Exception = httpcore.ConnectTimeout()
        for address in self._target.addresses:
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                stream = self._plain.connect_tcp(address, self._target.port, left)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Timed(stream, self)
        raise failed

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing is tried twice here")


class _Timed(httpcore.NetworkStream):
    """Each step may take what is left until the deadline, so all of them together do not take
    longer, however slowly a receiver drips."""

    def __init__(self, stream: httpcore.NetworkStream, network: _Pinned) -> None:
        self._stream = stream
        self._network = network

    def _left(self, late: type[httpcore.TimeoutException]) -> float:
        left = self._network.deadline - time.monotonic()
        if left <= 0:
            raise late
        return left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = min(self._left(httpcore.ConnectTimeout), CONNECT_SECONDS)
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, left)
        except httpcore.ConnectError as error:
            raise _NoTls from error
        return _Timed(stream, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
