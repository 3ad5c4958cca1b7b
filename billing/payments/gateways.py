"""The providers this deployment has, by name, as `settings.PAYMENT_GATEWAYS` lists them."""

from django.conf import settings
from django.utils.module_loading import import_string

from billing.payments.gateway import PaymentGateway


class NotConfigured(LookupError):
    """No provider of this name is configured."""


def get(name: str) -> PaymentGateway:
    """Raises `NotConfigured`."""
    path = settings.PAYMENT_GATEWAYS.get(name)
    if path is None:
        raise NotConfigured(name)
    made: PaymentGateway = import_string(path)()
    return made


def all_configured() -> list[PaymentGateway]:
    """In the order in which customers are offered them."""
    return [get(name) for name in settings.PAYMENT_GATEWAYS]


def for_saved_methods() -> PaymentGateway | None:
    """The first that can charge a card without its holder."""
    return next((one for one in all_configured() if one.saves_methods), None)
