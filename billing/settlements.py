"""What was booked for each request, as SQL: shared by invoices and the proof.

A request's transfers have ids that differ in the two low bits (see billing.ids). The customer
paid `usage + excess`; with `loss` it is the whole charge; `late` came after the record.
"""

import uuid
from datetime import datetime

# The id of the request a transfer belongs to: the two low bits cleared.
_REQUEST_ID = (
    "overlay(id::text placing"
    " translate(right(id::text, 1), '1235679abdef', '000444888ccc') from 36)::uuid"
)
LOW_BITS = "(get_byte(uuid_send({id}), 15) & 3)"
_BITS = LOW_BITS.format(id="id")

# What was booked beside the hold, one row per request that has any. Few requests do, and the
# partial index on transfers into revenue that are no plain usage finds them.
BESIDE = f"""
beside AS MATERIALIZED (
    SELECT {_REQUEST_ID} AS id,
        coalesce(sum(amount_nanos) FILTER (WHERE {_BITS} = 1), 0)::bigint AS excess,
        coalesce(sum(amount_nanos) FILTER (WHERE {_BITS} = 2), 0)::bigint AS loss,
        coalesce(sum(amount_nanos) FILTER (WHERE {_BITS} = 3), 0)::bigint AS late
    FROM billing_transfer
    WHERE credit_account_id = (SELECT id FROM billing_account WHERE kind = 'revenue')
      AND kind IN ('usage_excess', 'usage_loss') AND state = 'posted' AND id >= %(from_id)s
    GROUP BY 1
)
"""


def first_id_at(moment: datetime) -> uuid.UUID:
    """The lowest id that a request started at `moment` can have."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
