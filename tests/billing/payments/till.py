"""What tests of payments play with: a fake provider that remembers, and signed webhooks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from accounts.models import Organization
from billing.models import PaymentOrder
from billing.payments.gateway import Checkout, Declined, SavedMethod, Unavailable
from billing.payments.messages import Message, Paid, Received
from tests.stripe_server import SECRET, event, signature

__all__ = ["SECRET", "FakeGateway", "event", "signature"]


class FakeGateway:
    """Takes money once per order, as an idempotency key promises, and remembers every call.

    The class is the provider: instances come and go, as billing makes them.
    """

    name = "fake"
    template = "billing/pay/stripe.html"
    content_policy: Mapping[str, list[str]] = {}
    patience_days = 1
    saves_methods = True
    noun = "Fake payment"
    label = "Fake"

    calls: list[tuple[str, str]] = []
    taken: dict[str, int] = {}
    trouble: list[Exception] = []  # raised by the next charges, first one first
    seconds = 0.0  # how long a charge takes
    answers: dict[str, Message] = {}
    _lock = threading.Lock()

    @classmethod
    def reset(cls) -> None:
        cls.calls, cls.taken, cls.trouble, cls.answers, cls.seconds = [], {}, [], {}, 0.0

    def create_intent(self, order: PaymentOrder, customer_id: str) -> Checkout:
        self.calls.append(("create_intent", order.reference))
        return Checkout(f"pay_{order.reference}", {"client_secret": f"secret_{order.reference}"})

    def create_customer(self, organization: Organization, email: str) -> str:
        return f"cus_{organization.pk}"

    def forget_customer(self, customer_id: str) -> None:
        self.calls.append(("forget_customer", customer_id))
        if self.trouble:
            raise self.trouble.pop(0)

    def create_setup(self, customer_id: str) -> Checkout:
        return Checkout("set_1")

    def saved_methods(self, customer_id: str) -> list[SavedMethod]:
        return [SavedMethod("pm_1", "Visa …4242", "12/30")]

    def forget_method(self, method_id: str) -> None:
        self.calls.append(("forget_method", method_id))

    def charge(self, order: PaymentOrder, customer_id: str, method_id: str) -> Message | None:
        time.sleep(self.seconds)
        with self._lock:
            self.calls.append(("charge", order.reference))
            if self.trouble:
                error = self.trouble.pop(0)
                if isinstance(error, Unavailable):  # it may have happened: here it has
                    self.taken[order.reference] = order.amount_minor
                raise error
            self.taken[order.reference] = order.amount_minor
        return Paid(f"pay_{order.reference}", order.reference, order.amount_minor, order.currency)

    def ask(self, order: PaymentOrder) -> Message | None:
        self.calls.append(("ask", order.reference))
        return self.answers.get(order.reference)

    def cancel(self, order: PaymentOrder) -> None:
        self.calls.append(("cancel", order.reference))
        if order.reference in self.taken:
            raise Declined("it is paid")

    def refund(self, order: PaymentOrder, amount_minor: int) -> Received | None:
        self.calls.append(("refund", f"{order.reference}:{amount_minor}"))
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Received:
        raise NotImplementedError


def intent(order: PaymentOrder, payment_id: str = "pi_1", **changes: Any) -> dict[str, Any]:
    return {
        "id": payment_id,
        "object": "payment_intent",
        "amount": order.amount_minor,
        "amount_received": order.amount_minor,
        "currency": order.currency,
        "status": "succeeded",
        "metadata": {"ttonk_order": order.reference},
        **changes,
    }


def succeeded(order: PaymentOrder, payment_id: str = "pi_1", **changes: Any) -> dict[str, Any]:
    return event("payment_intent.succeeded", intent(order, payment_id, **changes))


def refunded(total: int, payment_id: str = "pi_1", currency: str = "usd") -> dict[str, Any]:
    charge = {"id": "ch_1", "payment_intent": payment_id, "amount_refunded": total}
    return event("charge.refunded", {**charge, "currency": currency})


def dispute(state: str, amount: int, kind: str = "created", **changes: Any) -> dict[str, Any]:
    facts = {"id": "dp_1", "payment_intent": "pi_1", "amount": amount, "currency": "usd"}
    return event(f"charge.dispute.{kind}", {**facts, "status": state, **changes})


def post(client: Any, told: dict[str, Any], **how: Any) -> Any:
    """Send a webhook, signed unless the test gives a signature of its own."""
    body = json.dumps(told).encode()
    given = how.pop("header", None)
    header = signature(body, **how) if given is None else given
    return client.post(
        "/webhooks/stripe",
        body,
        content_type="application/json",
        headers={"Stripe-Signature": header},
    )
