"""Stripe's objects as our messages. Pure: dictionaries in, messages out."""

from typing import Any

from billing.payments.messages import (
    Canceled,
    Disputed,
    Failed,
    Ignored,
    Message,
    Paid,
    Refunded,
    RefundFailed,
)

# What a payment carries of ours, through every object that Stripe makes of it.
ORDER = "ttonk_order"
_REASON_MAX = 200


def of_event(event: dict[str, Any], *, is_live: bool) -> Message:
    """What a webhook's event means here. One of another account that Stripe serves for us, or of
    the other mode (test events in a live product), means nothing. Raises KeyError or TypeError for
    one that is not built as Stripe documents it."""
    thing = event["data"]["object"]
    if event.get("account"):
        return _ignored(event, f"of account {event['account']}")
    if event.get("livemode", is_live) != is_live:
        return _ignored(event, "in the other mode")
    match event["type"]:
        case "payment_intent.succeeded":
            return _paid(thing)
        case "payment_intent.canceled":
            return Canceled(thing["id"], _order(thing))
        case "payment_intent.payment_failed":
            return Failed(thing["id"], _order(thing), reason(thing.get("last_payment_error")))
        case "charge.refunded" if thing.get("payment_intent"):
            return Refunded(thing["payment_intent"], thing["amount_refunded"], thing["currency"])
        case "refund.failed" if thing.get("payment_intent"):
            return RefundFailed(
                thing["payment_intent"], str(thing.get("failure_reason") or "")[:_REASON_MAX]
            )
        case str(kind) if kind.startswith("charge.dispute."):
            return _disputed(thing) or _ignored(event, "that moves nothing")
    return _ignored(event)


def of_intent(intent: dict[str, Any]) -> Message | None:
    """What has become of a payment that was asked for; None while it waits for its payer."""
    if intent["status"] == "succeeded":
        return _paid(intent)
    if intent["status"] == "canceled":
        return Canceled(intent["id"], _order(intent))
    return None


def reason(error: Any) -> str:
    """Stripe's sentence for the payer."""
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "The payment failed.")[:_REASON_MAX]


def _paid(intent: dict[str, Any]) -> Paid:
    received = intent.get("amount_received")
    amount = intent["amount"] if received is None else received
    return Paid(intent["id"], _order(intent), int(amount), str(intent["currency"]))


def _order(intent: dict[str, Any]) -> str:
    return str((intent.get("metadata") or {}).get(ORDER, ""))


def _ignored(event: dict[str, Any], why: str = "") -> Ignored:
    return Ignored(f"{event['type']} {why}".strip()[:_REASON_MAX])


def _disputed(dispute: dict[str, Any]) -> Disputed | None:
    """An inquiry (`warning_…`) moves no money, and one about no payment of ours is nobody's."""
    status = str(dispute["status"])
    if status.startswith("warning_") or not dispute.get("payment_intent"):
        return None
    return Disputed(
        dispute["id"],
        dispute["payment_intent"],
        int(dispute["amount"]),
        str(dispute["currency"]),
        status if status in ("won", "lost") else "open",  # type: ignore[arg-type]
    )
