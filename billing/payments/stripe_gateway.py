"""Cards through Stripe: PaymentIntents, SetupIntents, and webhooks whose signature is checked.

A card's number goes from the payer's browser to Stripe and never through here.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import stripe
from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import Organization
from billing.models import PaymentOrder
from billing.payments import stripe_messages
from billing.payments.gateway import Checkout, Declined, Forged, SavedMethod, Unavailable
from billing.payments.messages import Message, Received
from billing.payments.stripe_messages import ORDER

TIMEOUT_SECONDS = 10.0
RETRIES = 1  # each create carries an idempotency key, so asking again is safe
TOLERANCE_SECONDS = 300
METHODS_MAX = 10


class StripeGateway:
    name = "stripe"
    template = "billing/pay/stripe.html"
    content_policy: Mapping[str, list[str]] = {
        "script-src": ["https://js.stripe.com", "https://*.js.stripe.com"],
        "frame-src": [
            "https://js.stripe.com",
            "https://*.js.stripe.com",
            "https://hooks.stripe.com",
        ],
        "connect-src": ["'self'", "https://api.stripe.com"],
    }
    patience_days = 1
    saves_methods = True
    noun = "Card payment"

    def __init__(self) -> None:
        base = settings.STRIPE_API_BASE
        self._api = stripe.StripeClient(
            settings.STRIPE_SECRET_KEY,
            base_addresses={"api": base} if base else None,
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        ).v1

    @property
    def label(self) -> str:
        return _("Card")

    def create_intent(self, order: PaymentOrder, customer_id: str) -> Checkout:
        with _asking():
            if order.provider_id:
                intent = self._api.payment_intents.retrieve(order.provider_id)
            else:
                wanted = _payment(order, customer_id)
                if order.saves_method:
                    wanted["setup_future_usage"] = "off_session"
                intent = self._api.payment_intents.create(
                    wanted,
                    {"idempotency_key": f"order:{order.reference}"},
                )
        return Checkout(intent.id, _browser_facts(intent.client_secret))

    def create_customer(self, organization: Organization, email: str) -> str:
        born = int(organization.created_at.timestamp())
        with _asking():
            made = self._api.customers.create(
                {
                    "name": organization.name,
                    "email": email,
                    "metadata": {"ttonk_organization": organization.slug},
                },
                {"idempotency_key": f"customer:{organization.pk}:{born}"},
            )
        return str(made.id)

    def forget_customer(self, customer_id: str) -> None:
        try:
            with _asking():
                self._api.customers.delete(customer_id)
        except Declined as declined:
            if not isinstance(declined.__cause__, stripe.InvalidRequestError):
                raise
            if declined.__cause__.code != "resource_missing":
                raise

    def create_setup(self, customer_id: str) -> Checkout:
        wanted: Any = {"customer": customer_id, "payment_method_types": ["card"]}
        with _asking():
            made = self._api.setup_intents.create(wanted)
        return Checkout(made.id, _browser_facts(made.client_secret))

    def saved_methods(self, customer_id: str) -> list[SavedMethod]:
        with _asking():
            found = self._api.payment_methods.list(
                {"customer": customer_id, "type": "card", "limit": METHODS_MAX}
            )
        return [_saved(one.to_dict()) for one in found.data[:METHODS_MAX]]

    def forget_method(self, method_id: str) -> None:
        with _asking():
            self._api.payment_methods.detach(method_id)

    def charge(self, order: PaymentOrder, customer_id: str, method_id: str) -> Message | None:
        wanted = _payment(order, customer_id)
        wanted |= {"payment_method": method_id, "confirm": True, "off_session": True}
        with _asking():
            made = self._api.payment_intents.create(
                wanted,
                {"idempotency_key": f"order:{order.reference}"},
            )
        intent = made.to_dict()
        if intent["status"] in ("requires_action", "requires_payment_method"):
            raise Declined(
                stripe_messages.reason(intent.get("last_payment_error")),
                needs_payer=intent["status"] == "requires_action",
            )
        return stripe_messages.of_intent(intent)

    def ask(self, order: PaymentOrder) -> Message | None:
        with _asking():
            found = self._api.payment_intents.retrieve(order.provider_id)
        return stripe_messages.of_intent(found.to_dict())

    def cancel(self, order: PaymentOrder) -> None:
        if order.provider_id:
            with _asking():
                self._api.payment_intents.cancel(order.provider_id)

    def refund(self, order: PaymentOrder, amount_minor: int) -> Received | None:
        key = f"refund:{order.reference}:{order.refunded_minor}:{amount_minor}"
        with _asking():
            self._api.refunds.create(
                {"payment_intent": order.provider_id, "amount": amount_minor},
                {"idempotency_key": key},
            )
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Received:
        secret = settings.STRIPE_WEBHOOK_SECRET
        if not secret.strip():
            raise Forged("there is no secret to check a signature with")
        try:
            stripe.WebhookSignature.verify_header(
                body, headers.get("Stripe-Signature", ""), secret, TOLERANCE_SECONDS
            )
            event = json.loads(body)
        except (stripe.SignatureVerificationError, ValueError) as error:
            raise Forged(str(error).partition("\n")[0][:200]) from None
        is_live = settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
        return Received(str(event["id"]), stripe_messages.of_event(event, is_live=is_live))


def _payment(order: PaymentOrder, customer_id: str) -> Any:
    return {
        "amount": order.amount_minor,
        "currency": order.currency,
        "customer": customer_id,
        "payment_method_types": ["card"],
        "metadata": {ORDER: order.reference},
    }


def _browser_facts(client_secret: str | None) -> dict[str, str]:
    return {
        "client_secret": client_secret or "",
        "publishable_key": settings.STRIPE_PUBLISHABLE_KEY,
    }


def _saved(method: dict[str, Any]) -> SavedMethod:
    card = method["card"]
    label = f"{str(card['brand']).title()} …{card['last4']}"
    return SavedMethod(
        str(method["id"]), label[:60], f"{card['exp_month']:02d}/{card['exp_year'] % 100:02d}"
    )


@contextmanager
def _asking() -> Iterator[None]:
    """Stripe's exceptions as ours. Only a clear refusal is one: all else may have happened."""
    try:
        yield
    except stripe.CardError as error:
        raise Declined(
            (error.user_message or "The card was declined.")[:200],
            needs_payer=error.code == "authentication_required",
        ) from error
    except stripe.InvalidRequestError as error:
        raise Declined((error.user_message or "Stripe refused this.")[:200]) from error
    except stripe.StripeError as error:
        raise Unavailable(f"{type(error).__name__}: {error.user_message}"[:200]) from error
