"""Token counts in disjoint classes, whatever dialect they were reported in."""

import msgspec


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens of one request. The prompt is the first three summed, the completion the last two."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning_output: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cached_input + self.cache_write

    @property
    def completion(self) -> int:
        return self.output + self.reasoning_output

    @property
    def total(self) -> int:
        return self.prompt + self.completion
