"""What webhooks are told about money. Called by the verbs that move it, within their transaction.

An amount is there twice: in nanos, and as decimal text in USD, for languages whose numbers lose
digits.
"""

from typing import Any

from accounts.models import Organization
from accounts.webhooks import events
from accounts.webhooks.events import moment
from billing import money
from billing.models import Invoice, PaymentOrder, Plan


def balance_low(organization: Organization, balance_nanos: int, threshold_nanos: int) -> None:
    data = _amount("balance", balance_nanos) | _amount("threshold", threshold_nanos)
    events.emit(organization, "balance.low", data)


def threshold_reached(organization: Organization, threshold_nanos: int, used_nanos: int) -> None:
    data = _amount("threshold", threshold_nanos) | _amount("spend", used_nanos)
    events.emit(organization, "spend.threshold_reached", data)


def cap_reached(organization: Organization, cap_nanos: int, used_nanos: int) -> None:
    data = _amount("cap", cap_nanos) | _amount("spend", used_nanos)
    events.emit(organization, "spend.cap_reached", data)


def payment_succeeded(order: PaymentOrder) -> None:
    data = {"payment": _order(order) | {"paid_at": moment(order.paid_at)}}
    events.emit(order.organization, "payment.succeeded", data)


def payment_failed(order: PaymentOrder) -> None:
    data = {"payment": _order(order) | {"reason": order.failure}}
    events.emit(order.organization, "payment.failed", data)


def plan_changed(organization: Organization, before: Plan, plan: Plan) -> None:
    data = {"plan": {"id": plan.slug, "name": plan.name},
            "before": {"id": before.slug, "name": before.name}}  # fmt: skip
    events.emit(organization, "plan.changed", data)


def invoice_issued(invoice: Invoice) -> None:
    total = money.NANOS_PER_CENT * invoice.total_minor
    tax = money.NANOS_PER_CENT * invoice.tax_minor
    data = {
        "invoice": {
            "number": str(invoice),
            "month": f"{invoice.month:%Y-%m}",
            "issued_at": moment(invoice.finalized_at),
            "currency": "usd",
            **_amount("total", total),
            **_amount("tax", tax),
        }
    }
    events.emit(invoice.organization, "invoice.issued", data)


def _order(order: PaymentOrder) -> dict[str, Any]:
    return {
        "reference": order.reference,
        "provider": order.provider,
        "is_automatic": order.is_automatic,
        "currency": order.currency,
        **_amount("amount", order.amount_nanos),
    }


def _amount(name: str, nanos: int) -> dict[str, Any]:
    return {f"{name}_nanos": nanos, name: money.format_usd(nanos)}
