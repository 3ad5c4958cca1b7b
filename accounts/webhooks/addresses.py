"""Which addresses may be called on a customer's behalf: public ones, over HTTPS, and no others.

A customer names a URL, and we call it from inside our network: whoever could name an address of
that network could make us call it. So the name is resolved here, every address it has is judged,
and the caller connects to what was judged, without asking the resolver again.
"""

import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from accounts.webhooks.models import URL_CHARS

PORTS = (443, 8443)
RESOLVE_SECONDS = 5.0
_RESOLVERS_MAX = 16
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_UNFIT = re.compile(r"[\s\\\x00-\x1f\x7f]")
# Public by the registry, and yet ways to what is not: translation to IPv4 and relays of it.
# 2001::/23 and 2002::/16 carry IPv4 addresses (Teredo, 6to4); 64:ff9b:: is NAT64.
_SIXES = ipaddress.ip_network("2000::/3")
_NOT_SIXES = tuple(
    ipaddress.ip_network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NOT_FOURS = (ipaddress.ip_network("192.88.99.0/24"),)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """Not to be called; `why` is one of url, scheme, userinfo, port, private, unknown, slow."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, and the addresses it may be called at."""

    url: SplitResult
    host: str  # as TLS and DNS have it
    port: int
    addresses: tuple[str, ...]


def vet(url: str) -> Target:
    """Take `url` apart, resolve its name and judge every address it has. Raises `Refused`; waits
    `RESOLVE_SECONDS` at most."""
    parts, host, port = _parse(url)
    addresses = [_plain(ipaddress.ip_address(one)) for one in _resolve(host, port)]
    is_local = bool(addresses) and all(map(_is_local, addresses))
    if not is_local:
        # Without a word about which of them it was: the answer must not map our network.
        if not addresses or not all(map(is_public, addresses)):
            raise Refused("private")
        if parts.scheme != "https":
            raise Refused("scheme")
        if port not in PORTS:
            raise Refused("port")
    return Target(parts, host, port, tuple(map(str, addresses)))


def is_public(address: Address) -> bool:
    """Whether it is one of the internet's: globally routable, for one host, and itself."""
    address = _plain(address)
    if isinstance(address, ipaddress.IPv6Address):
        return address in _SIXES and not any(address in one for one in _NOT_SIXES)
    is_odd = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not is_odd and not any(address in one for one in _NOT_FOURS)


def _plain(address: Address) -> Address:
    """An IPv4 address written as IPv6 is judged, and called, as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_local(address: Address) -> bool:
    """One of the networks that the settings open for a trial or a test."""
    networks = map(ipaddress.ip_network, settings.WEBHOOK_LOCAL_NETWORKS)
    return any(address in one for one in networks if one.version == address.version)


def _parse(url: str) -> tuple[SplitResult, str, int]:
    if len(url) > URL_CHARS or _UNFIT.search(url) or not url.isascii():
        raise Refused("url")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise Refused("url") from None
    if parts.scheme not in ("https", "http"):
        raise Refused("scheme")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise Refused("userinfo")
    if parts.fragment or not (_NAME.fullmatch(host) or _is_address(host)):
        raise Refused("url")
    return parts, host, port if port is not None else (443 if parts.scheme == "https" else 80)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a scope names an interface of this machine


_resolvers = ThreadPoolExecutor(_RESOLVERS_MAX, thread_name_prefix="webhook-names")


def _resolve(host: str, port: int) -> list[str]:
    """Every address of `host`, each once. A resolver that hangs keeps a thread, not the caller."""
    asked = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = asked.result(RESOLVE_SECONDS)
    except FutureTimeoutError:
        asked.cancel()
        raise Refused("slow") from None
    except (OSError, UnicodeError):
        raise Refused("unknown") from None
    # Scopes (fe80::1%eth0) are cut off: what has one is not public anyway.
    return list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))
