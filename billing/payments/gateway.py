"""What billing asks of whoever collects money. A new provider implements this, and is named in
`settings.PAYMENT_GATEWAYS`; nothing else of billing knows which ones there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from accounts.models import Organization
from billing.models import PaymentOrder
from billing.payments.messages import Message, Received


class Declined(Exception):
    """The payment was refused for good; nothing was taken. `needs_payer`: the same card may work
    with its holder present."""

    def __init__(self, reason: str, *, needs_payer: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.needs_payer = needs_payer


class Unavailable(Exception):
    """The provider could not be asked, or did not say: what was asked may have happened."""


class Forged(Exception):
    """A message that does not come from the provider, or is too old."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A payment that waits for its payer. `facts` go to the provider's template."""

    payment_id: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A card that may be charged without its holder. `label` such as “Visa …4242”."""

    id: str
    label: str
    expires: str


class PaymentGateway(Protocol):
    """Methods that speak to the provider raise `Unavailable`; each is bounded in time."""

    name: str
    # The template that shows a `Checkout`, and what its page's content policy must allow.
    template: str
    content_policy: Mapping[str, list[str]]
    # Orders not paid after so many days are given up.
    patience_days: int
    # Whether cards can be saved and charged off-session.
    saves_methods: bool

    @property
    def label(self) -> str:
        """How a customer chooses it, translated."""
        ...

    @property
    def noun(self) -> str:
        """What the ledger calls money that came this way, such as “Card payment”."""
        ...

    def create_intent(self, order: PaymentOrder, customer_id: str) -> Checkout:
        """The order's payment: made once, found again afterwards."""
        ...

    def create_customer(self, organization: Organization, email: str) -> str:
        """Whom cards are saved for; the same organization twice is one customer."""
        ...

    def forget_customer(self, customer_id: str) -> None:
        """Remove whom cards were saved for, with name and address; one that is gone is fine."""
        ...

    def create_setup(self, customer_id: str) -> Checkout:
        """The form that saves a card without a payment."""
        ...

    def saved_methods(self, customer_id: str) -> list[SavedMethod]: ...

    def forget_method(self, method_id: str) -> None: ...

    def charge(self, order: PaymentOrder, customer_id: str, method_id: str) -> Message | None:
        """Charge a saved card without its holder: once per order, however often it is asked.
        None where the provider will tell later. Raises `Declined`."""
        ...

    def ask(self, order: PaymentOrder) -> Message | None:
        """What has become of a payment; None while nothing has."""
        ...

    def cancel(self, order: PaymentOrder) -> None:
        """Nobody shall be able to pay it any more. Raises `Declined` where it is paid already."""
        ...

    def refund(self, order: PaymentOrder, amount_minor: int) -> Received | None:
        """Send money back; None where the provider will tell when it has. Raises `Declined`."""
        ...

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Received:
        """What a webhook says. Raises `Forged`."""
        ...
