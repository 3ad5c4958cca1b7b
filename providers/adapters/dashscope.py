"""Alibaba DashScope's compatible mode.

Thinking is `enable_thinking` / `thinking_budget` beside OpenAI's fields, and may be refused
unless streamed; `reasoning_effort` is not known there. Cache creation is reported apart.
"""

from providers.adapters.dialect import (
    Body,
    completion_limit_as_max_tokens,
    count,
    developer_as_system,
    disjoint,
)
from providers.usage import TokenUsage

# What it does not know, and searches that the operator would pay for.
_NOT_PASSED = ("reasoning_effort", "enable_search", "search_options")


class DashScopeDialect:
    def request(self, body: Body, tenant: str) -> Body:
        body = {**body, "messages": developer_as_system(body["messages"])}
        completion_limit_as_max_tokens(body)
        body["enable_thinking"] = _thinks(body)
        for name in _NOT_PASSED:
            body.pop(name, None)
        if body["enable_thinking"] is None:
            del body["enable_thinking"]
        return body

    def must_stream(self, body: Body) -> bool:
        return bool(_thinks(body))

    def usage(self, reported: Body) -> TokenUsage:
        details = reported.get("prompt_tokens_details")
        written = count(details, "cache_creation_input_tokens")
        return disjoint(reported, cached=count(details, "cached_tokens"), cache_write=written)


def _thinks(body: Body) -> bool | None:
    """What the client asked for, in either way; None where it left that to the model."""
    thinking, effort = body.get("enable_thinking"), body.get("reasoning_effort")
    if thinking is None and effort is not None:
        return effort not in ("none", "minimal")
    return thinking
