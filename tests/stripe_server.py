"""A server on loopback that speaks Stripe's API, and what a product is told to use it.

Nothing here needs Django: a running product is as much its client as a test is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from config.launcher import ports

SECRET = "whsec_for_the_test_suite_only"
BANK_DETAILS = "Ttonk Platform Ltd\\nExample Bank, 1 Example Square\\nIBAN XX00 1234 5678 9012 34"
GOOD_CARD = "4242424242424242"
START_SECONDS = 30

_PROGRAM = """
import sys
from aiohttp import web
from localstripe import resources
from localstripe.server import app
resources.store.dump_to_disk = lambda: None
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


def environment(url: str) -> dict[str, str]:
    """What configures a product to take cards from this server, and bank transfers."""
    return {
        "STRIPE_SECRET_KEY": "sk_test_local",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_local",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": url,
        "TTONK_BANK_DETAILS": BANK_DETAILS,
    }


@contextmanager
def running(url: str = "") -> Iterator[str]:
    """The server, in memory, for the block's time; its address, a free one unless it is given."""
    url = url or f"http://127.0.0.1:{ports.pick()}"
    port = urllib.parse.urlsplit(url).port
    server = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert server.poll() is None, "localstripe ended"
            assert time.monotonic() < deadline, "localstripe does not answer"
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/js.stripe.com/v3/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def save_card(url: str, customer: str, number: str = GOOD_CARD) -> str:
    """A card saved for a customer, as a payer's browser would; its id."""
    card = {"number": number, "exp_month": "12", "exp_year": "2031", "cvc": "123"}
    method = _post(url, "payment_methods", {"type": "card"} | _nested("card", card))
    _post(url, f"payment_methods/{method['id']}/attach", {"customer": customer})
    return str(method["id"])


def call_back(url: str, product_url: str) -> None:
    """Have the server tell a running product of what happens, signed, as Stripe does."""
    form = {"url": f"{product_url}/webhooks/stripe", "secret": SECRET}
    request = urllib.request.Request(
        f"{url}/_config/webhooks/product", urllib.parse.urlencode(form).encode()
    )
    urllib.request.urlopen(request, timeout=START_SECONDS).close()


def pay(url: str, payment: str, number: str = GOOD_CARD) -> None:
    """A waiting payment, paid with a card as a payer's browser would."""
    card = {"number": number, "exp_month": "12", "exp_year": "2031", "cvc": "123"}
    method = _post(url, "payment_methods", {"type": "card"} | _nested("card", card))
    _post(url, f"payment_intents/{payment}", {"payment_method": method["id"]})
    _post(url, f"payment_intents/{payment}/confirm", {})


def payments(url: str, customer: str) -> list[dict[str, Any]]:
    """Every payment of a customer that the server knows."""
    request = urllib.request.Request(
        f"{url}/v1/payment_intents?limit=100", headers={"Authorization": "Bearer sk_test_browser"}
    )
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
    return [one for one in found if one["customer"] == customer]


def _nested(name: str, fields: dict[str, str]) -> dict[str, str]:
    return {f"{name}[{field}]": value for field, value in fields.items()}


def _post(url: str, path: str, form: dict[str, str]) -> Any:
    request = urllib.request.Request(
        f"{url}/v1/{path}",
        urllib.parse.urlencode(form).encode(),
        {"Authorization": "Bearer sk_test_browser"},
    )
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        return json.load(answer)


def event(kind: str, thing: dict[str, Any], event_id: str = "") -> dict[str, Any]:
    """As Stripe builds one; the same content is the same event unless it is given an id."""
    digest = hashlib.sha256(json.dumps([kind, thing], sort_keys=True).encode()).hexdigest()
    return {
        "id": event_id or f"evt_{digest[:24]}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "data": {"object": thing},
    }


def signature(body: bytes, secret: str = SECRET, age_seconds: float = 0) -> str:
    at = int(time.time() - age_seconds)
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def send_webhook(product_url: str, told: dict[str, Any]) -> int:
    """Tell a running product, signed; the status it answers with."""
    body = json.dumps(told).encode()
    request = urllib.request.Request(
        f"{product_url}/webhooks/stripe",
        body,
        {"Content-Type": "application/json", "Stripe-Signature": signature(body)},
    )
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        return int(answer.status)
