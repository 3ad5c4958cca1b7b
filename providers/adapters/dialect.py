"""What every adapter does. Bodies are JSON objects as decoded; nothing here does I/O."""

from typing import Any, Protocol

from providers.usage import TokenUsage

Body = dict[str, Any]


class WrongUsage(Exception):
    """The upstream reported token counts that cannot be true."""


class Dialect(Protocol):
    def request(self, body: Body, tenant: str) -> Body:
        """The body to send upstream. `tenant` is an opaque, stable name of the organization."""
        ...

    def must_stream(self, body: Body) -> bool:
        """Whether the upstream would refuse this request unless it is streamed."""
        ...

    def usage(self, reported: Body) -> TokenUsage:
        """The reported counts in disjoint classes. Raises `WrongUsage`."""
        ...


def count(container: Any, name: str) -> int:
    """A token count from a JSON object: absent and null are zero. Raises `WrongUsage`."""
    value = container.get(name) if isinstance(container, dict) else None
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise WrongUsage(f"{name} is {value!r}")
    return value


def disjoint(reported: Body, *, cached: int, cache_write: int = 0) -> TokenUsage:
    """OpenAI's nested counts (cached inside prompt, reasoning inside completion) taken apart."""
    prompt, completion = count(reported, "prompt_tokens"), count(reported, "completion_tokens")
    reasoning = count(reported.get("completion_tokens_details"), "reasoning_tokens")
    if cached + cache_write > prompt or reasoning > completion:
        raise WrongUsage("a part is larger than the whole")
    return TokenUsage(
        input=prompt - cached - cache_write,
        cached_input=cached,
        cache_write=cache_write,
        output=completion - reasoning,
        reasoning_output=reasoning,
    )


def developer_as_system(messages: list[Body]) -> list[Body]:
    """`developer` is OpenAI's newer word for `system`; other upstreams know only the older."""
    return [
        {**message, "role": "system"} if message.get("role") == "developer" else message
        for message in messages
    ]


def completion_limit_as_max_tokens(body: Body) -> None:
    """`max_completion_tokens` under the name that other upstreams know."""
    limit = body.pop("max_completion_tokens", None)
    if limit is not None:
        body["max_tokens"] = limit
