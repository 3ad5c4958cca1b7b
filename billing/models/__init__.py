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
from billing.models.plans import Plan, Subscription
from billing.models.usage import BillingReason, RollupWatermark, UsageDay, UsageHour, UsageRecord

__all__ = [
    "Account",
    "AccountDelta",
    "AccountKind",
    "Archive",
    "ArchivedAccount",
    "ArchivedUsage",
    "BillingReason",
    "IdempotencyKey",
    "Invoice",
    "InvoiceLine",
    "KeyBudget",
    "Plan",
    "RollupWatermark",
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
