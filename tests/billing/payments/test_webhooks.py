"""The door that Stripe knocks on: whoever is not Stripe stays outside."""

import json
from typing import Any

import pytest

from billing.models import EventState, PaymentEvent, PaymentOrder
from billing.pages.webhooks import BODY_BYTES_MAX
from billing.payments import gateways, orders
from tests.billing.payments import till

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(organization: Any, stripe: None) -> PaymentOrder:
    return orders.place(organization, gateways.get("stripe"), 2_500)


def test_a_signed_event_is_recorded_before_it_is_answered(client, order):
    assert till.post(client, till.succeeded(order)).status_code == 204
    event = PaymentEvent.objects.get()
    assert (event.state, event.kind) == (EventState.WAITING, "paid")
    assert event.facts == {
        "type": "paid",
        "payment_id": "pi_1",
        "order": order.reference,
        "amount_minor": 2_500,
        "currency": "usd",
    }


def test_the_same_event_again_is_one_event(client, order):
    for _ in range(3):
        assert till.post(client, till.succeeded(order)).status_code == 204
    assert PaymentEvent.objects.count() == 1


@pytest.mark.parametrize(
    "how",
    [
        {"secret": "whsec_another_secret_than_ours"},
        {"secret": ""},
        {"age_seconds": 301},
        {"header": ""},
        {"header": "t=1,v1=00"},
        {"header": "v1=00"},
        {"header": "t=x,v1=\u00e9"},
    ],
)
def test_a_forged_or_old_event_is_refused_and_not_recorded(client, order, how):
    assert till.post(client, till.succeeded(order), **how).status_code == 400
    assert not PaymentEvent.objects.exists()


def test_a_changed_body_does_not_pass_under_another_bodys_signature(client, order):
    real = till.signature(json.dumps(till.succeeded(order)).encode())
    changed = till.succeeded(order, amount_received=250_000)
    assert till.post(client, changed, header=real).status_code == 400


def test_an_empty_secret_believes_nobody(client, order, settings):
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert till.post(client, till.succeeded(order), secret="").status_code == 400
    assert not PaymentEvent.objects.exists()


def test_an_event_299_seconds_old_is_still_believed(client, order):
    assert till.post(client, till.succeeded(order), age_seconds=295).status_code == 204


@pytest.mark.parametrize("event", [{}, {"type": "payment_intent.succeeded"}, [], "text", 7])
def test_a_signed_body_that_is_no_event_is_a_clear_400(client, order, event):
    assert till.post(client, event).status_code == 400


def test_a_body_that_is_too_large_is_refused(client, order):
    event = till.succeeded(order) | {"filler": "x" * BODY_BYTES_MAX}
    assert till.post(client, event).status_code == 413
    assert not PaymentEvent.objects.exists()


def test_without_stripe_there_is_no_door(client, settings):
    settings.PAYMENT_GATEWAYS = {}
    assert till.post(client, {}).status_code == 404
    assert client.post("/webhooks/paypal").status_code == 404


def test_a_provider_without_webhooks_believes_nobody(client, settings):
    settings.PAYMENT_GATEWAYS = {"bank": "billing.payments.bank_transfer.BankTransfer"}
    assert client.post("/webhooks/bank", b"{}", content_type="application/json").status_code == 400


def test_only_posts_are_read(client, stripe):
    assert client.get("/webhooks/stripe").status_code == 405
