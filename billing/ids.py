"""Request and transfer ids: UUIDv7, so that tables can be partitioned and paged by time.

The two low bits of a request's id are zero. They name what else may be booked for the same
request, so every follow-up transfer has one id that a replay arrives at again:
`EXCESS` what was taken from the wallet above the hold, `LOSS` what of the charge the operator
bears, `LATE` what a gateway delivered after its hold had been settled without it.
"""

import os
import time
import uuid

EXCESS = 1
LOSS = 2
LATE = 3
_LOW_BITS = 0b11
_RANDOM_MASK = (1 << 74) - 1


def uuid7() -> uuid.UUID:
    """A new id: 48 bits of Unix milliseconds, version, variant, 72 random bits, two zero bits."""
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM_MASK & ~_LOW_BITS
    random_a, random_b = random >> 62, random & ((1 << 62) - 1)
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    return uuid.UUID(int=value)


def excess_of(request_id: uuid.UUID) -> uuid.UUID:
    return uuid.UUID(int=request_id.int | EXCESS)


def loss_of(request_id: uuid.UUID) -> uuid.UUID:
    return uuid.UUID(int=request_id.int | LOSS)


def late_of(request_id: uuid.UUID) -> uuid.UUID:
    return uuid.UUID(int=request_id.int | LATE)
