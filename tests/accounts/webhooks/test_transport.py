"""One POST: bounded in time and size, obeying nothing it is answered."""

import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accounts.webhooks import transport
from tests.accounts.webhooks.test_addresses import resolve_to
from tests.receiver import Answer, Receiver


def post(receiver: Receiver, url: str = "") -> transport.Outcome:
    return transport.post(url or receiver.url, {"webhook-id": "evt_1"}, b'{"a":1}')


def test_a_post_says_whom_it_is_for_and_nothing_of_the_environment(receiver, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    outcome = transport.post(f"{receiver.url}/a?b=c", {"webhook-id": "evt_1"}, b'{"a":1}')
    assert (outcome.status, outcome.error, outcome.response) == (200, "", "ok")
    [got] = receiver.got
    assert (got.path, got.body) == ("/hooks/a?b=c", b'{"a":1}')
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-length"] == "7"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(receiver, status):
    receiver.answers = [Answer(status, body=b"")]
    assert post(receiver).error == ""


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_other_statuses_are_failures_that_keep_what_was_said(receiver, status):
    receiver.answers = [Answer(status, body=b"no \xff\0thanks")]
    outcome = post(receiver)
    assert (outcome.status, outcome.error) == (status, "status")
    assert outcome.response == "no �thanks"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, status):
    receiver.answers = [Answer(status, {"Location": f"{receiver.url}/elsewhere"})]
    outcome = post(receiver)
    assert (outcome.status, outcome.error) == (status, "redirect")
    assert len(receiver.got) == 1


def test_a_body_without_end_is_read_to_a_bound(receiver):
    receiver.answers = [Answer(endless=True, body=b"begins ")]
    began = time.monotonic()
    outcome = post(receiver)
    assert time.monotonic() - began < 5
    assert outcome.error == ""
    assert len(outcome.response) == 1_000
    assert outcome.response.startswith("begins xxx")
    assert receiver.bytes_sent < 20_000_000, "what buffers took, and nothing more"


def test_a_receiver_that_does_not_answer_is_given_up_in_time(receiver, monkeypatch):
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 0.5)
    receiver.answers = [Answer(hang=True)]
    outcome = post(receiver)
    assert (outcome.status, outcome.error) == (None, "timeout")
    assert 400 <= outcome.duration_ms < 5_000


def test_an_answer_that_drips_does_not_stretch_the_time(receiver, monkeypatch):
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 2.5)
    receiver.answers = [Answer(drip=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    outcome = post(receiver)
    assert (outcome.status, outcome.error) == (None, "timeout")
    assert 2_000 <= outcome.duration_ms < 6_000


@pytest.mark.parametrize("said", [b"garbage\r\n\r\n", b"H" * 40])
def test_what_is_no_http_is_a_failure(receiver, said, monkeypatch):
    monkeypatch.setattr("tests.receiver.Answer.drip", said, raising=False)
    monkeypatch.setattr(receiver, "_over", _Hurried(receiver._over))
    receiver.answers = [Answer(drip=said)]
    assert post(receiver).error == "answer"


class _Hurried:
    """Drips without a pause."""

    def __init__(self, event) -> None:
        self._event = event

    def wait(self, _seconds: float) -> bool:
        return False

    def __getattr__(self, name: str):
        return getattr(self._event, name)


def test_nobody_there_is_a_failure(receiver):
    port = receiver.port
    receiver.__exit__()
    assert transport.post(f"http://127.0.0.1:{port}/", {}, b"{}").error == "connection"


def test_tls_asks_for_the_name_and_checks_it(settings, monkeypatch, tmp_path):
    settings.WEBHOOK_LOCAL_NETWORKS = ["127.0.0.0/8"]
    resolve_to(monkeypatch, ["127.0.0.1"])
    server, trusted = certify(tmp_path, "hooks.example")
    with Receiver(server) as receiver:
        url = receiver.url_for("hooks.example")
        assert post(receiver, url).error == "tls", "nobody vouches for it"
        monkeypatch.setattr(transport, "_tls", trusted)
        assert post(receiver, url).error == ""
        assert receiver.names[-1] == "hooks.example"
        assert receiver.got[-1].headers["host"] == f"hooks.example:{receiver.port}"
        assert post(receiver, receiver.url_for("other.example")).error == "tls"
        assert len(receiver.got) == 1


def certify(folder, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))
