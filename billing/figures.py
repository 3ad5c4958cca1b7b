"""Sums over some slice of usage, and how two of them differ."""

from dataclasses import dataclass

# In the order of the fields of `Figures`.
SUMS = (
    "requests",
    "errors",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "charge_nanos",
)


@dataclass(slots=True)
class Figures:
    """What the rollups add up, and what follows from it."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    charge_nanos: int = 0

    def add(self, other: "Figures") -> None:
        # Written out: a customer's ninety days are tens of thousands of these.
        self.requests += other.requests
        self.errors += other.errors
        self.input_tokens += other.input_tokens
        self.cached_input_tokens += other.cached_input_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.output_tokens += other.output_tokens
        self.reasoning_output_tokens += other.reasoning_output_tokens
        self.charge_nanos += other.charge_nanos

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def completion_tokens(self) -> int:
        return self.output_tokens + self.reasoning_output_tokens

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def errors_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


def change_percent(now: int, before: int) -> int | None:
    """By how much `now` differs from `before`, in whole percent; None where there was nothing."""
    return round(100 * (now - before) / before) if before else None
