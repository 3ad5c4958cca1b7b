"""What a key with spend caps has used of them, in this UTC day and month."""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.dispatch import receiver

from accounts.keys import key_rotated
from accounts.models import ApiKey
from billing.models import KeyBudget
from billing.periods import today

# A successor starts where its predecessor stands: rotating is no way around a cap.
_CARRY_OVER = """
INSERT INTO billing_keybudget (api_key_id, day, day_nanos, month, month_nanos)
SELECT %s, day, day_nanos, month, month_nanos FROM billing_keybudget WHERE api_key_id = %s
ON CONFLICT (api_key_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """In nanos, holds of requests in flight included. Zero where no cap was set yet."""

    day_nanos: int = 0
    month_nanos: int = 0


def spent(key: ApiKey) -> Spent:
    row = KeyBudget.objects.filter(pk=key.pk).first()
    if row is None:
        return Spent()
    now = today()
    return Spent(
        row.day_nanos if row.day == now else 0,
        row.month_nanos if row.month == now.replace(day=1) else 0,
    )


@receiver(key_rotated)
def carry_over(old: ApiKey, new: ApiKey, **_: Any) -> None:
    """Runs inside the transaction that rotates the key."""
    with connection.cursor() as cursor:
        cursor.execute(_CARRY_OVER, [new.pk, old.pk])
