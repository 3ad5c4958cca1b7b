"""What a provider can tell, in our words: whichever provider it is, these are all there are.

Each holds what is needed to act on it and nothing of the payer. They are stored as JSON.
"""

from typing import Any, Literal

import msgspec


class Paid(msgspec.Struct, frozen=True, tag="paid"):
    """The money is there. `order` is the reference the payment was made under."""

    payment_id: str
    order: str
    amount_minor: int
    currency: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """An attempt to pay failed; the payer may try again where one is sitting there."""

    payment_id: str
    order: str
    reason: str


class Canceled(msgspec.Struct, frozen=True, tag="canceled"):
    """The payment was given up. Nobody can pay it any more."""

    payment_id: str
    order: str


class Refunded(msgspec.Struct, frozen=True, tag="refunded"):
    """`refunded_minor` is the sum of all refunds of this payment so far, so order and repetition
    do not matter."""

    payment_id: str
    refunded_minor: int
    currency: str


class RefundFailed(msgspec.Struct, frozen=True, tag="refund_failed"):
    """Money that was sent back came back again: an operator decides what happens with it."""

    payment_id: str
    reason: str


class Disputed(msgspec.Struct, frozen=True, tag="disputed"):
    """The payer's bank has taken the money back, or has decided on it."""

    dispute_id: str
    payment_id: str
    amount_minor: int
    currency: str
    state: Literal["open", "won", "lost"]


class Ignored(msgspec.Struct, frozen=True, tag="ignored"):
    """Something that means nothing here, such as `customer.created`: kept as having been told."""

    what: str


Message = Paid | Failed | Canceled | Refunded | RefundFailed | Disputed | Ignored


class Received(msgspec.Struct, frozen=True):
    """A message under the id its provider gave it: the second with one id says nothing new."""

    event_id: str
    message: Message


def kind(message: Message) -> str:
    return str(message.__struct_config__.tag)


def as_facts(message: Message) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(message)
    return facts


def from_facts(facts: dict[str, Any]) -> Message:
    """Raises msgspec.ValidationError."""
    message: Message = msgspec.convert(facts, type=Message)
    return message
