"""An organization whose billing pages have something to show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Organization
from billing import thresholds
from billing.models import BillingDetails, OrderState, PaymentOrder
from billing.payments import automatic, customers, events, gateways, orders
from billing.payments.messages import Paid, Received
from tests import stripe_server
from tests.factories import USD


def play_in(organization: Organization, stripe_url: str) -> dict[str, Any]:
    """Top-ups in every state, a saved card that tops up automatically, alerts, an address.
    The references of three orders, by what they are."""
    stripe, bank = gateways.get("stripe"), gateways.get("bank")
    paid = orders.place(organization, stripe, 2_500)
    told = Paid("pi_of_the_scene", paid.reference, 2_500, "usd")
    events.process(events.record("stripe", Received("evt_of_the_scene", told)).pk)
    _failed_by_itself(organization)
    card = orders.place(organization, stripe, 10_000)
    transfer = orders.place(organization, bank, 25_000)
    orders.start(transfer)
    _set_up(organization, stripe_url)
    return {
        "card_order": card.reference,
        "bank_order": transfer.reference,
        "paid_order": paid.reference,
    }


def _failed_by_itself(organization: Organization) -> None:
    PaymentOrder.objects.create(
        organization=organization,
        reference=orders.new_reference(),
        provider="stripe",
        amount_minor=5_000,
        is_automatic=True,
        state=OrderState.FAILED,
        failure="Your card has insufficient funds.",
        created_at=timezone.now() - timedelta(days=3),
    )


def _set_up(organization: Organization, stripe_url: str) -> None:
    stripe = gateways.get("stripe")
    customer = customers.find_or_create(organization, stripe)
    stripe_server.save_card(stripe_url, customer)
    (method,) = customers.methods(organization, stripe)
    automatic.configure(
        organization,
        threshold_nanos=20 * USD,
        amount_minor=5_000,
        cap_minor=50_000,
        provider="stripe",
        method_id=method.id,
        method_label=method.label,
    )
    for usd in (50, 100, 400):
        thresholds.add_alert(organization, usd * USD)
    BillingDetails.objects.create(
        organization=organization,
        company="Acme Robotics GmbH",
        line_1="Hauptstraße 17",
        postal_code="10115",
        city="Berlin",
        country="DE",
        vat_id="DE123456789",
    )
