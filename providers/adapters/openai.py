"""Upstreams that speak OpenAI's chat completions as they are."""

from providers.adapters.dialect import Body, count, disjoint
from providers.usage import TokenUsage


class OpenAIDialect:
    def request(self, body: Body, tenant: str) -> Body:
        return body

    def must_stream(self, body: Body) -> bool:
        return False

    def usage(self, reported: Body) -> TokenUsage:
        cached = count(reported.get("prompt_tokens_details"), "cached_tokens")
        return disjoint(reported, cached=cached)
