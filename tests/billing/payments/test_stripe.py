"""Our side of Stripe against a server that speaks its API, and what it does not keep track of
(idempotency keys) against a small one that writes down what it was sent."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
import stripe
from django.utils import timezone

from billing import ledger, proof
from billing.models import (
    Account,
    AutoTopUp,
    OrderState,
    PaymentCustomer,
    PaymentEvent,
    PaymentOrder,
    TransferKind,
)
from billing.payments import automatic, automatic_runs, customers, events, gateways, orders
from billing.payments.gateway import Declined, PaymentGateway, Unavailable
from tests import stripe_server
from tests.billing import scenes
from tests.billing.payments import till

pytestmark = pytest.mark.django_db

GOOD, BAD = "4242424242424242", "4000000000000341"  # the bad one is saved, and never pays
CENTS = 2_500


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with stripe_server.running() as url:
        yield url


@pytest.fixture
def gateway(stripe: None, settings: Any, server: str) -> PaymentGateway:
    settings.STRIPE_API_BASE = server
    return gateways.get("stripe")


def api(settings: Any) -> Any:
    """Stripe's own client, for what a payer's browser would do."""
    return stripe.StripeClient(
        "sk_test_browser", base_addresses={"api": settings.STRIPE_API_BASE}
    ).v1


def save_card(settings: Any, customer: str, number: str = GOOD) -> str:
    return stripe_server.save_card(settings.STRIPE_API_BASE, customer, number)


def settle(client: Any, event: dict[str, Any]) -> None:
    assert till.post(client, event).status_code == 204
    events.process_due()


def balance(organization: Any) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def proven() -> bool:
    ledger.fold_deltas()
    accounts = Account.objects.all()
    assert sum(one.debits_posted for one in accounts) == sum(one.credits_posted for one in accounts)
    return all(one.is_ok for one in proof.prove())


def test_from_a_top_up_to_a_spent_balance_a_refund_and_a_dispute(
    organization, gateway, settings, client
):
    order = orders.place(organization, gateway, CENTS)
    checkout = orders.start(order)
    assert checkout.facts["client_secret"].startswith(order.provider_id)
    assert orders.start(order).payment_id == checkout.payment_id
    stored = api(settings).payment_intents.retrieve(order.provider_id)
    assert (stored.amount, stored.currency) == (CENTS, "usd")
    assert stored.metadata["ttonk_order"] == order.reference

    settle(client, till.succeeded(order, order.provider_id))
    assert balance(organization) == 25 * scenes.USD
    record = scenes.use(organization)
    assert record.charge_nanos == scenes.PLUS_CHARGE_NANOS
    assert balance(organization) == 25 * scenes.USD - scenes.PLUS_CHARGE_NANOS
    assert proven()

    settle(client, till.refunded(500, order.provider_id))
    settle(client, till.dispute("needs_response", 2_000, payment_intent=order.provider_id))
    assert balance(organization) == 0
    order.refresh_from_db()
    assert order.loss_nanos == scenes.PLUS_CHARGE_NANOS
    assert proven()
    won = till.dispute("won", 2_000, "closed", payment_intent=order.provider_id)
    settle(client, won)
    assert balance(organization) == 20 * scenes.USD - scenes.PLUS_CHARGE_NANOS
    assert proven()


def test_an_organization_is_one_customer_and_its_cards_are_listed_and_removed(
    organization, gateway, settings
):
    customer = customers.find_or_create(organization, gateway)
    assert customers.find_or_create(organization, gateway) == customer
    assert PaymentCustomer.objects.count() == 1
    assert customers.methods(organization, gateway) == []
    method = save_card(settings, customer)
    (saved,) = customers.methods(organization, gateway)
    assert (saved.id, saved.label, saved.expires) == (method, "Visa …4242", "12/31")
    assert gateway.create_setup(customer).facts["client_secret"]
    assert customers.forget(organization, gateway, method)
    assert customers.methods(organization, gateway) == []


def automate(organization: Any, gateway: PaymentGateway, method: str) -> None:
    automatic.configure(
        organization,
        threshold_nanos=scenes.USD,
        amount_minor=CENTS,
        cap_minor=4 * CENTS,
        provider=gateway.name,
        method_id=method,
        method_label="Visa …4242",
    )


def test_a_saved_card_is_charged_off_session_and_credited_once(
    organization, gateway, settings, client
):
    customer = customers.find_or_create(organization, gateway)
    automate(organization, gateway, save_card(settings, customer))
    assert automatic_runs.run() == 1
    assert balance(organization) == 25 * scenes.USD
    order = PaymentOrder.objects.get()
    assert order.state == OrderState.PAID
    assert api(settings).payment_intents.retrieve(order.provider_id).status == "succeeded"
    settle(client, till.succeeded(order, order.provider_id))
    assert balance(organization) == 25 * scenes.USD
    assert proven()


def test_a_declined_card_is_a_failure_with_stripes_own_words(organization, gateway, settings):
    customer = customers.find_or_create(organization, gateway)
    automate(organization, gateway, save_card(settings, customer, BAD))
    automatic_runs.run()
    order = PaymentOrder.objects.get()
    assert (order.state, order.failure) == (OrderState.FAILED, "Your card was declined.")
    assert AutoTopUp.objects.get().failures == 1
    assert balance(organization) == 0


def test_a_payment_nobody_told_of_is_asked_for_and_credited(
    organization, gateway, settings, client
):
    customer = customers.find_or_create(organization, gateway)
    method = save_card(settings, customer)
    order = orders.place(organization, gateway, CENTS)
    orders.start(order)
    paid = api(settings).payment_intents.create(
        {
            "amount": CENTS, "currency": "usd", "customer": customer, "payment_method": method,
            "confirm": True, "metadata": {"ttonk_order": order.reference},
        }
    )  # fmt: skip
    long_ago = timezone.now() - timedelta(hours=1)
    PaymentOrder.objects.update(provider_id=paid.id, created_at=long_ago, asked_at=long_ago)
    assert orders.ask_stale() == 1
    assert orders.ask_stale() == 0
    assert balance(organization) == 25 * scenes.USD
    settle(client, till.succeeded(order, paid.id))
    assert balance(organization) == 25 * scenes.USD


def test_a_payment_nobody_makes_is_given_up_in_the_end(organization, gateway, settings):
    order = orders.place(organization, gateway, CENTS)
    orders.start(order)
    long_ago = timezone.now() - timedelta(days=2)
    PaymentOrder.objects.update(created_at=long_ago, asked_at=long_ago)
    orders.ask_stale()
    order.refresh_from_db()
    assert order.state == OrderState.CANCELED
    assert api(settings).payment_intents.retrieve(order.provider_id).status == "canceled"


def test_a_refund_goes_to_stripe_and_the_ledger_waits_for_its_word(
    organization, gateway, settings, client
):
    customer = customers.find_or_create(organization, gateway)
    automate(organization, gateway, save_card(settings, customer))
    automatic_runs.run()
    order = PaymentOrder.objects.get()
    orders.refund(order, 1_000)
    assert balance(organization) == 25 * scenes.USD
    (refund,) = api(settings).refunds.list({"payment_intent": order.provider_id}).data
    assert refund.amount == 1_000
    settle(client, till.refunded(1_000, order.provider_id))
    assert balance(organization) == 15 * scenes.USD
    order.refresh_from_db()
    with pytest.raises(orders.NotRefundable):
        orders.refund(order, 1_501)
    ledger.debit(
        Account.objects.get(organization=organization), 15 * scenes.USD, kind=TransferKind.PLAN_FEE
    )
    with pytest.raises(orders.NotRefundable):
        orders.refund(order, 1)


def test_a_server_that_is_away_is_no_decline(organization, stripe):
    gateway = gateways.get("stripe")
    with pytest.raises(Unavailable):
        gateway.create_customer(organization, "alice@example.com")
    order = orders.place(organization, gateway, CENTS)
    with pytest.raises(Unavailable):
        orders.start(order)
    order.refresh_from_db()
    assert order.state == OrderState.OPEN


class _Notebook(BaseHTTPRequestHandler):
    """Writes down what it was sent; answers each with what the test laid ready."""

    seen: ClassVar[list[tuple[str, str, dict[str, str]]]] = []
    status: ClassVar[int] = 200
    answer: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        sent = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
        self.seen.append((self.path, self.headers.get("idempotency-key", ""), sent))
        body = json.dumps(self.answer).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def notebook(stripe: None, settings: Any) -> Iterator[type[_Notebook]]:
    _Notebook.seen, _Notebook.status = [], 200
    _Notebook.answer = {"id": "pi_1", "object": "payment_intent", "status": "succeeded",
                        "amount": CENTS, "currency": "usd", "client_secret": "pi_1_secret",
                        "metadata": {}}  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Notebook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    yield _Notebook
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def order(organization: Any, notebook: Any) -> PaymentOrder:
    PaymentCustomer.objects.create(
        organization=organization, provider="stripe", provider_id="cus_1"
    )
    return orders.place(organization, gateways.get("stripe"), CENTS, saves_method=True)


def test_what_makes_a_payment_carries_the_orders_own_idempotency_key(order, notebook):
    gateway = gateways.get("stripe")
    gateway.create_intent(order, "cus_1")
    gateway.charge(order, "cus_1", "pm_1")
    gateway.charge(order, "cus_1", "pm_1")
    keys = {key for _, key, _ in notebook.seen}
    assert keys == {f"order:{order.reference}"}
    assert notebook.seen[0][2]["setup_future_usage"] == "off_session"
    charge = notebook.seen[1][2]
    assert (charge["confirm"], charge["off_session"]) == ("true", "true")
    assert charge["metadata[ttonk_order]"] == order.reference
    assert "setup_future_usage" not in charge


def test_refunds_and_customers_carry_keys_of_their_own(order, notebook, organization):
    gateway = gateways.get("stripe")
    order.provider_id = "pi_1"
    gateway.refund(order, 100)
    gateway.refund(order, 200)
    gateway.create_customer(organization, "alice@example.com")
    keys = [key for _, key, _ in notebook.seen]
    assert len(set(keys)) == 3
    assert all(keys)


@pytest.mark.parametrize(
    ("status", "error", "raised"),
    [
        (402, {"type": "card_error", "message": "Your card was declined."}, Declined),
        (400, {"type": "invalid_request_error", "message": "No such method."}, Declined),
        (400, {"type": "idempotency_error", "message": "Other parameters."}, Unavailable),
        (401, {"type": "invalid_request_error", "message": "Bad key."}, Unavailable),
        (429, {"type": "invalid_request_error", "message": "Slow down."}, Unavailable),
        (500, {"type": "api_error", "message": "Ours."}, Unavailable),
        (200, {}, Declined),  # a body whose status says that its holder is wanted
    ],
)
def test_only_a_clear_refusal_is_a_decline(order, notebook, status, error, raised):
    notebook.status = status
    if error:
        notebook.answer = {"error": error}
    else:
        notebook.answer["status"] = "requires_action"
    with pytest.raises(raised):
        gateways.get("stripe").charge(order, "cus_1", "pm_1")
    assert PaymentEvent.objects.count() == 0


def test_a_card_that_wants_its_holder_says_so(order, notebook):
    notebook.status = 402
    notebook.answer = {"error": {"type": "card_error", "code": "authentication_required",
                                 "message": "This payment requires authentication."}}  # fmt: skip
    with pytest.raises(Declined) as caught:
        gateways.get("stripe").charge(order, "cus_1", "pm_1")
    assert caught.value.needs_payer
