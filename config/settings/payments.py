"""Which payment providers the environment configures, and a refusal to start with half of one."""

from django.core.exceptions import ImproperlyConfigured

_WEBHOOK_SECRET_CHARS_MIN = 16


def gateways(
    *, stripe_key: str, stripe_publishable_key: str, stripe_webhook_secret: str, bank_details: str
) -> dict[str, str]:
    """Names and classes. Raises ImproperlyConfigured where forged webhooks would be believed."""
    found: dict[str, str] = {}
    if stripe_key:
        if len(stripe_webhook_secret) < _WEBHOOK_SECRET_CHARS_MIN:
            raise ImproperlyConfigured(
                "Not starting: STRIPE_SECRET_KEY is set, and STRIPE_WEBHOOK_SECRET is not, or too"
                " short. Anybody could tell us that they have paid."
            )
        if not stripe_publishable_key:
            raise ImproperlyConfigured(
                "Not starting: STRIPE_SECRET_KEY is set, and STRIPE_PUBLISHABLE_KEY is not: no"
                " customer could enter a card."
            )
        found["stripe"] = "billing.payments.stripe_gateway.StripeGateway"
    if bank_details.strip():
        found["bank"] = "billing.payments.bank_transfer.BankTransfer"
    return found
