"""The entrance itself: odd paths, odd protocols, and who is calling."""

import ipaddress
import json
from typing import Any

import pytest

from gateway import requests
from gateway.handler import GatewayHandler
from gateway.requests import client_address


async def _call(**scope: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    whole = {"type": "http", "method": "GET", "headers": [], "client": ("127.0.0.1", 1), **scope}
    await GatewayHandler(fallback=None)(whole, receive, send)  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("path", ["/v1/\n", "/v1/a\nb", "/v1/a\r\nX-Evil: 1", "/v1/\0", "/v1//"])
async def test_no_path_is_more_than_unknown(path: str) -> None:
    start, body = await _call(path=path)
    error = json.loads(body["body"])["error"]
    assert (start["status"], error["code"]) == (404, "unknown_url")
    assert all(b"\n" not in value for _, value in start["headers"])


async def test_a_websocket_is_refused() -> None:
    assert await _call(type="websocket", path="/v1/realtime") == [{"type": "websocket.close"}]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not one of ours: not believed
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:5123", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1%eth0"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "unknown"),
        ("", "203.0.113.9", ""),
    ],
)
def test_forwarded_addresses_are_believed_of_our_own_proxies_only(
    monkeypatch: pytest.MonkeyPatch, peer: str, forwarded: str, address: str
) -> None:
    monkeypatch.setattr(requests, "_TRUSTED", (ipaddress.ip_network("10.0.0.0/8"),))
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_address(scope) == address
