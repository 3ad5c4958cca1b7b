"""Only public addresses are called, and only the one that was looked at."""

import ipaddress
import socket
import threading

import pytest

from accounts.webhooks import addresses, transport
from tests.receiver import Receiver

INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.2.7", "198.18.0.1", "198.51.100.1",
    "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1",
    "100::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd12:3456:789a::1", "ff02::1",
    "ff0e::1", "2001::1", "2001:0:a00:1::", "2001:10::1", "2001:20::1", "2001:db8::1",
    "2002:7f00:1::1", "2002:a00:1::", "3fff::1", "5f00::1", "4000::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::200e",
           "::ffff:8.8.8.8"]  # fmt: skip


def resolve_to(monkeypatch, *answers: list[str]) -> list[str]:
    """The resolver answers these, one after the other and the last for ever; returns what it was
    asked."""
    asked: list[str] = []
    left = list(answers)
    plain = socket.getaddrinfo

    def answer(host, port, *_, **__):
        if host in INSIDE or host.startswith("127."):
            return plain(host, port, type=socket.SOCK_STREAM)
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (family[ipaddress.ip_address(one).version], socket.SOCK_STREAM, 6, "", (one, port))
            for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def refusal(url: str) -> str:
    with pytest.raises(addresses.Refused) as refused:
        addresses.vet(url)
    return refused.value.why


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_public_is_refused_as_a_literal_and_behind_a_name(monkeypatch, address):
    literal = f"[{address}]" if ":" in address else address
    assert refusal(f"https://{literal}/hooks") == "private"
    resolve_to(monkeypatch, [address])
    assert refusal("https://inside.example/hooks") == "private"


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_public_passes_with_the_address_to_connect_to(monkeypatch, address):
    resolve_to(monkeypatch, [address])
    target = addresses.vet("https://hooks.example:8443/a/b?c=d")
    plain = address.removeprefix("::ffff:")
    assert (target.host, target.port, target.addresses) == ("hooks.example", 8443, (plain,))


def test_one_inside_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    resolve_to(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    assert refusal("https://hooks.example/") == "private"


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "0"]
)
def test_other_ways_to_write_loopback_lead_to_the_same_refusal(host):
    assert refusal(f"https://{host}/") == "private"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://8.8.8.8/", "scheme"),
        ("ftp://8.8.8.8/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://8.8.8.8/", "scheme"),
        ("//8.8.8.8/", "scheme"),
        ("https://alice@8.8.8.8/", "userinfo"),
        ("https://alice:secret@8.8.8.8/", "userinfo"),
        ("https://8.8.8.8@127.0.0.1/", "userinfo"),
        ("https://@8.8.8.8/", "userinfo"),
        ("https://8.8.8.8:22/", "port"),
        ("https://8.8.8.8:6379/", "port"),
        ("https://8.8.8.8:0/", "port"),
        ("https://8.8.8.8:99999/", "url"),
        ("https://8.8.8.8:x/", "url"),
        ("https://", "url"),
        ("https:///hooks", "url"),
        ("https://[fe80::1%25eth0]/", "url"),
        ("https://[fe80::1%eth0]/", "url"),
        ("https://exam ple.com/", "url"),
        ("https://example.com\\@127.0.0.1/", "url"),
        ("https://example.com\r\nHost: x/", "url"),
        ("https://example.com/#part", "url"),
        ("https://exämple.com/", "url"),
        ("https://127。0。0。1/", "url"),
        ("https://example.com/" + "a" * 500, "url"),
        ("", "scheme"),
    ],
)
def test_addresses_that_are_none_are_refused(url, why):
    assert refusal(url) == why


def test_a_name_that_leads_nowhere_is_refused(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert refusal("https://nowhere.example/") == "unknown"


def test_a_resolver_that_hangs_keeps_nobody_waiting(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    monkeypatch.setattr(addresses, "RESOLVE_SECONDS", 0.1)
    assert refusal("https://slow.example/") == "slow"
    over.set()


def test_plain_http_is_for_the_networks_the_settings_name(settings, monkeypatch):
    settings.WEBHOOK_LOCAL_NETWORKS = ["127.0.0.0/8"]
    assert addresses.vet("http://127.0.0.1:9999/").port == 9999
    resolve_to(monkeypatch, ["8.8.8.8"])
    assert refusal("http://hooks.example/") == "scheme"
    resolve_to(monkeypatch, ["127.0.0.1", "8.8.8.8"])
    assert refusal("http://hooks.example/") == "private"


def test_production_opens_no_network(monkeypatch):
    from config.settings import base

    assert base.WEBHOOK_LOCAL_NETWORKS == []


def test_a_name_that_turns_inside_after_it_was_vetted_is_not_called(monkeypatch, settings):
    """Rebinding: public when the endpoint is saved, loopback when the event is sent."""
    with Receiver() as inside:
        asked = resolve_to(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
        url = f"https://rebinding.example:8443/?{inside.port}"
        addresses.vet(url)
        outcome = transport.post(url, {}, b"{}")
        assert (outcome.error, outcome.status) == ("address", None)
        assert inside.got == []
        assert len(asked) == 2


def test_the_connection_goes_to_the_vetted_address_without_asking_again(monkeypatch, settings):
    """Rebinding within one delivery: whatever the resolver says after the look, nobody asks it."""
    settings.WEBHOOK_LOCAL_NETWORKS = ["127.0.0.2/32"]
    with Receiver() as inside:
        asked = resolve_to(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
        outcome = transport.post(inside.url_for("rebinding.example"), {}, b"{}")
    assert len(asked) == 1
    # It listens at 127.0.0.1 alone, where the second answer points: nothing got there.
    assert outcome.error == "connection"
    assert inside.got == []
