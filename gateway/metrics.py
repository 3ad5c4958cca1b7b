"""What this process has counted, in plain integers and lists.

Counting happens once per request and on its path, where a metrics library's labels and locks
would cost more than everything that is counted. `gateway.exposition` reads these at a scrape.
"""

from bisect import bisect_left
from collections import Counter

from billing.batches import UsageFacts
from gateway.exchanges import Exchange
from ratelimits.buckets import Decision

# Upper bounds in seconds, but for the batches' items.
LONG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
SHORT_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
)  # fmt: skip
BATCH_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """How many values fell up to each bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class ModelCount:
    """One model's share. A request that was never given a hold is in no model's."""

    __slots__ = (
        "cache_write_tokens", "cached_input_tokens", "charge_nanos", "duration", "first_token",
        "input_tokens", "output_tokens", "reasoning_output_tokens", "requests",
    )  # fmt: skip

    def __init__(self) -> None:
        # By (billing reason, HTTP status).
        self.requests: dict[tuple[str, int], int] = {}
        self.first_token = Histogram(LONG_SECONDS)
        self.duration = Histogram(LONG_SECONDS)
        self.input_tokens = self.cached_input_tokens = self.cache_write_tokens = 0
        self.output_tokens = self.reasoning_output_tokens = 0
        self.charge_nanos = 0


class Metrics:
    """One per process, updated from its event loop only."""

    def __init__(self) -> None:
        self.models: dict[str, ModelCount] = {}
        # Error answers by (HTTP status, code): all of them, also those before any hold.
        self.errors: Counter[tuple[int, str]] = Counter()
        self.before_upstream = Histogram(SHORT_SECONDS)
        self.settling = Histogram(SHORT_SECONDS)
        self.commit_seconds = Histogram(SHORT_SECONDS)
        self.commit_items = Histogram(BATCH_ITEMS)
        self.allowed = 0
        self.refused: Counter[str] = Counter()
        self.captures_lost = 0

    def note_end(self, exchange: Exchange, facts: UsageFacts, ending_at: float, now: float) -> None:
        """An exchange whose settling took from `ending_at` to `now` (monotonic seconds)."""
        model = self.models.get(facts.model)
        if model is None:
            model = self.models[facts.model] = ModelCount()
        key = (facts.billing_reason, facts.status)
        model.requests[key] = model.requests.get(key, 0) + 1
        started = exchange.request.started
        model.duration.observe(now - started)
        if exchange.first_token_at is not None:
            model.first_token.observe(exchange.first_token_at - started)
        model.input_tokens += facts.input_tokens
        model.cached_input_tokens += facts.cached_input_tokens
        model.cache_write_tokens += facts.cache_write_tokens
        model.output_tokens += facts.output_tokens
        model.reasoning_output_tokens += facts.reasoning_output_tokens
        model.charge_nanos += facts.charge_nanos
        if exchange.asked_at is not None:
            self.before_upstream.observe(exchange.asked_at - started)
        self.settling.observe(now - ending_at)

    def note_decision(self, decision: Decision) -> None:
        if decision.is_allowed:
            self.allowed += 1
        else:
            self.refused[decision.refused_by] += 1

    def note_commit(self, items: int, seconds: float) -> None:
        self.commit_items.observe(items)
        self.commit_seconds.observe(seconds)
