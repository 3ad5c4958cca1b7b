"""What a request has consumed so far: measured from what passes through the gateway."""

from typing import Any

from providers.adapters import Dialect, WrongUsage
from providers.usage import TokenUsage

Event = dict[str, Any]


# A token's text is a few characters; as a string of its own it takes sixty bytes.
_PIECES_APART_MAX = 16


class Meter:
    """Reads answers as they pass. Text counts once it has been handed to the client."""

    def __init__(self, *, context_tokens: int, output_tokens_max: int) -> None:
        self._context_tokens = context_tokens
        self._output_tokens_max = output_tokens_max
        self.reported: TokenUsage | None = None
        self._texts: list[str] = []
        self._blocks = 0  # how many of the first of them are sixteen in one
        self.pieces = 0

    @property
    def has_relayed(self) -> bool:
        return self.pieces > 0

    def read_usage(self, reported: Any, dialect: Dialect) -> None:
        """Take the provider's own count, wherever in the answer it stands. One that cannot be
        true (a negative, a part above the whole, more than the model can produce) is ignored."""
        if not isinstance(reported, dict):
            return
        try:
            usage = dialect.usage(reported)
        except WrongUsage:
            return
        is_possible = (
            0 < usage.prompt <= self._context_tokens and usage.completion <= self._output_tokens_max
        )
        if is_possible:
            self.reported = usage

    def relayed(self, texts: list[str]) -> None:
        """These texts are with the client."""
        own = self._texts
        own += texts
        self.pieces += len(texts)
        if len(own) - self._blocks >= _PIECES_APART_MAX:
            own[self._blocks :] = ["".join(own[self._blocks :])]
            self._blocks += 1

    @property
    def text(self) -> str:
        """All that was relayed."""
        return "".join(self._texts)


def texts_of(choice: Any, part: str) -> list[str]:
    """The texts of a choice's `delta` or `message` that a model produced, token by token."""
    body = choice.get(part) if isinstance(choice, dict) else None
    if not isinstance(body, dict):
        return []
    names = ("content", "reasoning_content", "reasoning", "refusal")
    out = [body[name] for name in names if isinstance(body.get(name), str) and body[name]]
    calls = body.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    # `function_call` is how tools were called before there were tools.
    for function in (body.get("function_call"), *functions):
        if isinstance(function, dict):
            out += [
                function[name]
                for name in ("name", "arguments")
                if isinstance(function.get(name), str) and function[name]
            ]
    return out


def usage_object(usage: TokenUsage, charge_nanos: int) -> dict[str, Any]:
    """OpenAI's `usage`, with what the request cost in USD beside it, as OpenRouter shows it."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_output},
        "cost": charge_nanos / 1_000_000_000,
    }
