"""A provider that charges and does not answer: Stripe's promise about idempotency keys, kept by a
small server of our own, because localstripe ignores them."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
import stripe as stripe_library
from django.db import connection
from django.utils import timezone

from accounts.models import Organization
from billing import ledger, proof
from billing.models import (
    Account,
    AutoTopUp,
    OrderState,
    PaymentCustomer,
    PaymentOrder,
    TransferKind,
)
from billing.payments import automatic, automatic_runs, events
from billing.payments.messages import Paid, Received
from tests.billing import scenes

CENTS = 2_000
USD = scenes.USD


class Forgetful(BaseHTTPRequestHandler):
    """Charges once per idempotency key, and loses as many answers as it is told to."""

    charges: ClassVar[dict[str, dict[str, Any]]] = {}
    asked: ClassVar[list[str]] = []
    answers_lost: ClassVar[int] = 0
    status: ClassVar[int] = 200
    lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def reset(cls) -> None:
        cls.charges, cls.asked, cls.answers_lost, cls.status = {}, [], 0, 200

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        sent = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
        with self.lock:
            answer = self._charge(self.headers.get("idempotency-key", ""), sent)
            is_lost = type(self).answers_lost > 0
            if is_lost:
                type(self).answers_lost -= 1
        if is_lost:
            self.close_connection = True
            return
        body = json.dumps(answer).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _charge(self, key: str, sent: dict[str, str]) -> dict[str, Any]:
        self.asked.append(key)
        if self.status != 200:
            return {"error": {"type": "card_error", "message": "Your card was declined."}}
        assert key, "a charge without an idempotency key"
        return self.charges.setdefault(
            key,
            {
                "id": f"pi_{len(self.charges) + 1}",
                "object": "payment_intent",
                "status": "succeeded",
                "amount": int(sent["amount"]),
                "amount_received": int(sent["amount"]),
                "currency": sent["currency"],
                "metadata": {"ttonk_order": sent["metadata[ttonk_order]"]},
            },
        )

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def provider(stripe: None, settings: Any, monkeypatch: Any) -> Iterator[type[Forgetful]]:
    Forgetful.reset()
    # The client's own pause before it asks again is no part of what is shown here.
    monkeypatch.setattr(stripe_library.HTTPClient, "_sleep_time_seconds", lambda *_, **__: 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    yield Forgetful
    server.shutdown()
    server.server_close()
    thread.join(10)


def enrol() -> Organization:
    organization = scenes.make_organization(credit_nanos=USD)
    PaymentCustomer.objects.create(
        organization=organization, provider="stripe", provider_id="cus_1"
    )
    automatic.configure(
        organization, threshold_nanos=5 * USD, amount_minor=CENTS, cap_minor=2 * CENTS,
        provider="stripe", method_id="pm_1", method_label="Visa …4242",
    )  # fmt: skip
    return organization


def balance(organization: Organization) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def minutes_later() -> None:
    PaymentOrder.objects.update(asked_at=timezone.now() - timedelta(minutes=5))
    AutoTopUp.objects.update(waits_until=None)


@pytest.mark.django_db
@pytest.mark.parametrize("lost", [1, 2, 3, 5])
def test_a_charge_whose_answers_are_lost_is_made_once_and_credited_once(provider, lost) -> None:
    organization = enrol()
    provider.answers_lost = lost
    for _ in range(6):
        automatic_runs.run()
        minutes_later()
    order = PaymentOrder.objects.get()
    assert order.state == OrderState.PAID
    assert set(provider.asked) == {f"order:{order.reference}"}
    assert len(provider.asked) > lost
    assert len(provider.charges) == 1
    assert balance(organization) == USD + CENTS * 10_000_000
    assert all(one.is_ok for one in proof.prove())


@pytest.mark.django_db
def test_the_webhook_of_a_lost_answer_credits_and_nothing_is_asked_again(provider) -> None:
    organization = enrol()
    provider.answers_lost = 99
    automatic_runs.run()
    order = PaymentOrder.objects.get()
    told = Paid("pi_1", order.reference, CENTS, "usd")
    events.process(events.record("stripe", Received("evt_1", told)).pk)
    asked = len(provider.asked)
    provider.answers_lost = 0
    for _ in range(3):
        minutes_later()
        automatic_runs.run()
    assert len(provider.asked) == asked
    assert len(provider.charges) == 1
    assert balance(organization) == USD + CENTS * 10_000_000


@pytest.mark.django_db
def test_a_declined_card_is_never_charged_and_switches_it_off_in_the_end(provider) -> None:
    organization = enrol()
    provider.status = 402
    for _ in range(6):
        automatic_runs.run()
        minutes_later()
    assert provider.charges == {}
    assert len(set(provider.asked)) == automatic.FAILURES_MAX
    row = AutoTopUp.objects.get()
    assert (row.is_on, row.stopped_because) == (False, "Your card was declined.")
    assert balance(organization) == USD


@pytest.mark.django_db(transaction=True)
def test_many_workers_and_lost_answers_charge_once_a_dip_and_stop_at_the_cap(provider) -> None:
    organization = enrol()
    for dip in range(1, 4):
        provider.answers_lost = 2
        for _ in range(3):
            together()
            minutes_later()
        assert len(provider.charges) == min(dip, 2), "the month's cap pays for two"
        wallet = Account.objects.get(organization=organization)
        if wallet.available_nanos:
            ledger.debit(wallet, wallet.available_nanos, kind=TransferKind.PLAN_FEE)
    paid = PaymentOrder.objects.filter(state=OrderState.PAID)
    assert paid.count() == len(provider.charges) == 2
    assert all(one.is_ok for one in proof.prove())


def together(count: int = 6) -> None:
    gate = threading.Barrier(count)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            gate.wait(20)
            automatic_runs.run()
        except BaseException as error:  # told to the test
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
