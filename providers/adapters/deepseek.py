"""DeepSeek: cache hits beside the prompt count, and a `user_id` to tell tenants apart.

`thinking` comes from the catalog (the public names stand for one upstream model with thinking
off or on), so a client's own effort setting is dropped where the model does not reason.
"""

from providers.adapters.dialect import (
    Body,
    completion_limit_as_max_tokens,
    count,
    developer_as_system,
    disjoint,
)
from providers.usage import TokenUsage


class DeepSeekDialect:
    def request(self, body: Body, tenant: str) -> Body:
        body = {**body, "messages": developer_as_system(body["messages"]), "user_id": tenant}
        completion_limit_as_max_tokens(body)
        body.pop("user", None)
        if body.get("thinking") == {"type": "disabled"}:
            body.pop("reasoning_effort", None)
        return body

    def must_stream(self, body: Body) -> bool:
        return False

    def usage(self, reported: Body) -> TokenUsage:
        if "prompt_cache_hit_tokens" in reported:
            cached = count(reported, "prompt_cache_hit_tokens")
        else:
            cached = count(reported.get("prompt_tokens_details"), "cached_tokens")
        return disjoint(reported, cached=cached)
