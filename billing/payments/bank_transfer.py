"""Money that a customer sends to the operator's bank account, and the operator confirms."""

from collections.abc import Mapping

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import Organization
from billing.models import PaymentOrder
from billing.payments.gateway import Checkout, Forged, SavedMethod
from billing.payments.messages import Message, Received, Refunded


class BankTransfer:
    """Nobody is called over the network: an operator's word is what is believed."""

    name = "bank"
    template = "billing/pay/bank.html"
    content_policy: Mapping[str, list[str]] = {}
    patience_days = 60
    saves_methods = False
    noun = "Bank transfer"

    @property
    def label(self) -> str:
        return _("Bank transfer")

    def create_intent(self, order: PaymentOrder, customer_id: str) -> Checkout:
        return Checkout(order.reference, {"bank_details": settings.BANK_DETAILS.strip()})

    def create_customer(self, organization: Organization, email: str) -> str:
        raise NotImplementedError

    def forget_customer(self, customer_id: str) -> None:
        raise NotImplementedError

    def create_setup(self, customer_id: str) -> Checkout:
        raise NotImplementedError

    def saved_methods(self, customer_id: str) -> list[SavedMethod]:
        return []

    def forget_method(self, method_id: str) -> None:
        raise NotImplementedError

    def charge(self, order: PaymentOrder, customer_id: str, method_id: str) -> Message | None:
        raise NotImplementedError

    def ask(self, order: PaymentOrder) -> Message | None:
        return None

    def cancel(self, order: PaymentOrder) -> None:
        """A transfer under way is still credited when it is confirmed."""

    def refund(self, order: PaymentOrder, amount_minor: int) -> Received | None:
        """The operator has sent it back by hand, and says so by asking for it here."""
        total = order.refunded_minor + amount_minor
        message = Refunded(order.provider_id, total, order.currency)
        return Received(f"refund:{order.reference}:{total}", message)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Received:
        raise Forged("no bank sends webhooks here")
