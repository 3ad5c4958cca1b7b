"""Token buckets as arithmetic: what they are, apart from where they are kept."""

import functools
from dataclasses import dataclass

import msgspec

_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Bucket:
    """A named bucket: holds `capacity` and refills as much per minute."""

    name: str
    capacity: int

    @property
    def refill_per_second(self) -> float:
        return self.capacity / _SECONDS_PER_MINUTE


@dataclass(frozen=True)
class Limits:
    """What one caller may do per minute. None is unlimited. Kept with the caller, so that its
    buckets are made once."""

    organization_id: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    key_id: int = 0
    key_requests_per_minute: int | None = None
    key_tokens_per_minute: int | None = None

    @functools.cached_property
    def request_buckets(self) -> tuple[Bucket, ...]:
        return self._buckets("r", self.requests_per_minute, self.key_requests_per_minute)

    @functools.cached_property
    def token_buckets(self) -> tuple[Bucket, ...]:
        return self._buckets("t", self.tokens_per_minute, self.key_tokens_per_minute)

    def _buckets(self, suffix: str, plan: int | None, key: int | None) -> tuple[Bucket, ...]:
        # The braces keep an organization's buckets in one slot of a Redis cluster.
        tag = f"rl:{{{self.organization_id}}}"
        out = []
        if plan is not None:
            out.append(Bucket(f"{tag}:{suffix}", plan))
        if key is not None:
            out.append(Bucket(f"{tag}:k{self.key_id}:{suffix}", key))
        return tuple(out)


class Level(msgspec.Struct, frozen=True):
    """How one bucket stands after a decision: what is left, and seconds until it is full."""

    limit: int
    remaining: int
    reset_seconds: float


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may go on; if not, after how many seconds it could.

    `requests` and `tokens` are the tightest bucket of each kind, None where unlimited.
    """

    is_allowed: bool
    retry_after_seconds: float
    requests: Level | None
    tokens: Level | None
    # Which limit refused: "requests" or "tokens".
    refused_by: str = ""


def tightest(levels: list[Level]) -> Level | None:
    if len(levels) < 2:
        return levels[0] if levels else None
    return min(levels, key=lambda level: level.remaining)
