"""How many tokens a request is expected to use: what the tokens-per-minute limit takes before the
answer is known, and replaces by what was used once it is.

A client that names `max_tokens` is taken at its word, which bounds what it can use. For others,
and for how dense a prompt's text is, an organization's own last answers of the model tell: the
estimate follows a larger one at once and smaller ones slowly, so it stays near the highest
sixteenth. What an answer uses beyond its estimate is taken while it streams (`gateway.watch`).
"""

import math
from dataclasses import dataclass

from gateway.payload import ChatRequest
from providers.usage import TokenUsage

OUTPUT_TOKENS_FIRST = 1_000
OUTPUT_TOKENS_MIN = 16
HABITS_MAX = 100_000
_FORGETTING = 16
_PROMPT_FACTOR_MAX = 8.0


@dataclass(slots=True)
class Habit:
    """What one organization's requests to one model use."""

    # For each choice, where the client names no limit.
    output_tokens: float = OUTPUT_TOKENS_FIRST
    # How many tokens a prompt has for each that its length lets expect.
    prompt_factor: float = 1.0


class Estimates:
    """One per process."""

    def __init__(self) -> None:
        self._habits: dict[tuple[int, str], Habit] = {}

    def tokens(self, organization_id: int, chat: ChatRequest) -> int:
        """What to take from the limit for a request."""
        habit = self._habits.get((organization_id, chat.model)) or _UNKNOWN
        output = chat.output_tokens_max or math.ceil(habit.output_tokens)
        return math.ceil(chat.prompt_tokens_estimate * habit.prompt_factor) + output * chat.choices

    def learn(self, organization_id: int, chat: ChatRequest, usage: TokenUsage) -> None:
        """An answer came to its end, and used this much."""
        key = (organization_id, chat.model)
        habit = self._habits.get(key)
        if habit is None:
            if len(self._habits) >= HABITS_MAX:
                self._habits.clear()
            habit = self._habits[key] = Habit()
        factor = usage.prompt / chat.prompt_tokens_estimate
        habit.prompt_factor = max(1.0, _follow(habit.prompt_factor, factor))
        habit.prompt_factor = min(habit.prompt_factor, _PROMPT_FACTOR_MAX)
        if chat.output_tokens_max is None:
            output = usage.completion / chat.choices
            habit.output_tokens = max(_follow(habit.output_tokens, output), OUTPUT_TOKENS_MIN)


_UNKNOWN = Habit()


def _follow(known: float, seen: float) -> float:
    """Up at once, down slowly."""
    return seen if seen > known else known + (seen - known) / _FORGETTING
