"""Who waits for a commit: taking them from their queues, and telling them how it ended."""

import asyncio
from collections import deque
from typing import Any

from billing import batches
from billing.batches import Authorization, Capture, Funds, Hold

# The item, its caller, and for authorizations since when.
WaitingHold = tuple[Authorization, asyncio.Future[Hold], float]
WaitingCapture = tuple[Capture, asyncio.Future[None]]


def is_open(waiter: "asyncio.Future[Any]") -> bool:
    """Whether nothing has been decided; a caller that gave up waiting decides nothing."""
    return waiter.cancelled() or not waiter.done()


def finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def take(queue: deque[Any], most: int) -> list[Any]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def fit(entries: list[WaitingHold], funds: dict[int, Funds]) -> list[WaitingHold]:
    """The entries that their wallets can pay for, at what they can pay; the others are refused."""
    out = []
    fitted = batches.fit([item for item, _, _ in entries], funds)
    for (_, waiter, since), item in zip(entries, fitted, strict=True):
        if isinstance(item, Authorization):
            out.append((item, waiter, since))
        else:
            fail(waiter, item)
    return out


def fail(waiter: "asyncio.Future[Any]", error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
        waiter.exception()  # read once, so that an abandoned waiter is not reported as forgotten
