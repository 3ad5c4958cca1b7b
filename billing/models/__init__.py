from billing.models.archives import Archive, ArchivedAccount, ArchivedUsage
from billing.models.invoices import Invoice, InvoiceLine
from billing.models.ledger import (
    Account,
    AccountDelta,
    AccountKind,
    IdempotencyKey,
    KeyBudget,
    StreamProgress,
    Sweep,
    Transfer,
    TransferKind,
    TransferState,
)
from billing.models.payments import (
    Dispute,
    DisputeState,
    EventState,
    OrderState,
    PaymentCustomer,
    PaymentEvent,
    PaymentOrder,
    RedeemCode,
)
from billing.models.plans import Plan, Subscription
from billing.models.preferences import AutoTopUp, BillingDetails, SpendAlert
from billing.models.usage import BillingReason, RollupWatermark, UsageDay, UsageHour, UsageRecord

__all__ = [
    "Account",
    "AccountDelta",
    "AccountKind",
    "Archive",
    "ArchivedAccount",
    "ArchivedUsage",
    "AutoTopUp",
    "BillingDetails",
    "BillingReason",
    "Dispute",
    "DisputeState",
    "EventState",
    "IdempotencyKey",
    "Invoice",
    "InvoiceLine",
    "KeyBudget",
    "OrderState",
    "PaymentCustomer",
    "PaymentEvent",
    "PaymentOrder",
    "Plan",
    "RedeemCode",
    "RollupWatermark",
    "SpendAlert",
    "StreamProgress",
    "Subscription",
    "Sweep",
    "Transfer",
    "TransferKind",
    "TransferState",
    "UsageDay",
    "UsageHour",
    "UsageRecord",
]
