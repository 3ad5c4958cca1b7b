from typing import Any

import pytest

from accounts.models import Organization
from tests import foundation  # noqa: F401  (lays plans and accounts after every flush)
from tests.billing import scenes
from tests.billing.payments import till
from tests.billing.payments.till import FakeGateway


@pytest.fixture
def stripe(settings: Any) -> None:
    """Stripe is configured; nobody answers for it."""
    settings.STRIPE_SECRET_KEY = "sk_test_nobody"
    settings.STRIPE_PUBLISHABLE_KEY = "pk_test_nobody"
    settings.STRIPE_WEBHOOK_SECRET = till.SECRET
    settings.STRIPE_API_BASE = "http://127.0.0.1:1"
    settings.PAYMENT_GATEWAYS = {"stripe": "billing.payments.stripe_gateway.StripeGateway"}


@pytest.fixture
def fake(settings: Any) -> type[FakeGateway]:
    """A provider that remembers what it was asked."""
    settings.PAYMENT_GATEWAYS = {"fake": "tests.billing.payments.till.FakeGateway"}
    FakeGateway.reset()
    return FakeGateway


@pytest.fixture
def organization(db: None) -> Organization:
    return scenes.make_organization(credit_nanos=0)
