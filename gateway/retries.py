"""How often a process may ask an upstream again: bounded, so that it never adds to an outage."""

import time

SHARE = 0.1
PER_SECOND = 10.0


class RetryBudget:
    """Second attempts: a tenth of the requests, and ten a second of all processes together.

    What is not used in one second is not kept for a worse one.
    """

    def __init__(self, *, processes: int) -> None:
        self._per_second = PER_SECOND / processes
        self._most = max(self._per_second, 1.0)
        self._left = self._most
        self._filled_at = time.monotonic()
        self.refused = 0

    def note_request(self) -> None:
        """A first attempt earns a tenth of a second one."""
        self._left += SHARE

    def take(self) -> bool:
        """Whether one more attempt may be made; it is then spent."""
        now = time.monotonic()
        earned = (now - self._filled_at) * self._per_second
        self._left = min(self._left + earned, self._most)
        self._filled_at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
