"""Who is calling: from an `Authorization` header to a principal, mostly from memory.

A snapshot per key is kept in the process, refreshed when the database says that it changed and
at the latest after `FRESH_SECONDS`. While the database is away, known keys go on for
`STALE_SECONDS_MAX`; a store that cannot be asked is never reported as a wrong key.
"""

import asyncio
import hashlib
import ipaddress
import os
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import psycopg_pool

from accounts import keys
from billing.ledger import LedgerUnavailable
from gateway.errors import Forbidden, InvalidKey, TooManyWrongKeys
from gateway.lookups import LOOKUP_SECONDS, Lookups
from ratelimits.buckets import Limits

FRESH_SECONDS = 5.0
STALE_SECONDS_MAX = 60.0
PRINCIPALS_MAX = 100_000
STRANGERS_SECONDS = 10
STRANGERS_MAX = 300
_BEARER = re.compile(rb"(?i:bearer) +(\S{1,200}) *")
_MISSING = (
    "You did not provide an API key. Send it as 'Authorization: Bearer ttonk_sk_…';"
    " you can make one in your dashboard."
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller: what it may do, at which price, and where its money is."""

    organization_id: int
    project_id: int
    api_key_id: int
    digest: str
    wallet_id: int
    limits: Limits
    markup_ppm: int
    body_bytes_max: int
    allowed_models: frozenset[str]
    allowed_networks: tuple[Network, ...]
    cap_day_nanos: int | None
    cap_month_nanos: int | None
    cap_project_month_nanos: int | None
    expires_at: datetime | None
    revoked_at: datetime | None
    is_suspended: bool

    @property
    def is_usable(self) -> bool:
        is_expired = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return self.revoked_at is None and not is_expired and not self.is_suspended

    def check(self, address: str) -> None:
        """Raises `InvalidKey` (revoked, expired) or `Forbidden` (suspended, wrong address)."""
        if self.revoked_at is not None:
            raise InvalidKey("This API key has been revoked.")
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            raise InvalidKey("This API key has expired.")
        if self.is_suspended:
            raise Forbidden("This organization is suspended.", code="organization_suspended")
        if self.allowed_networks:
            try:
                ip = ipaddress.ip_address(address)
            except ValueError:
                ip = None
            if ip is None or not any(ip in network for network in self.allowed_networks):
                raise Forbidden(
                    "This API key may not be used from your address.", code="address_not_allowed"
                )

    def check_model(self, name: str) -> None:
        if self.allowed_models and name not in self.allowed_models:
            raise Forbidden(
                f"This API key may not use the model '{name[:100]}'.", code="model_not_allowed"
            )


def secret_of(authorization: bytes | None) -> str:
    """The key in the header. Raises `InvalidKey` for anything that cannot be one."""
    if not authorization:
        raise InvalidKey(_MISSING)
    match = _BEARER.fullmatch(authorization)
    secret = match[1].decode("ascii", "replace") if match else ""
    if not keys.is_well_formed(secret):
        raise InvalidKey("The API key is not valid. Check that you copied all of it.")
    return secret


class Strangers:
    """Who keeps asking with well-formed keys that nobody has: each costs a query, and a flood of
    them must not keep customers' keys from being looked up."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._since = time.monotonic()

    def check(self, address: str) -> None:
        """Raises `TooManyWrongKeys`."""
        if time.monotonic() - self._since > STRANGERS_SECONDS:
            self._counts, self._since = {}, time.monotonic()
        if self._counts.get(address, 0) >= STRANGERS_MAX:
            raise TooManyWrongKeys(STRANGERS_SECONDS)

    def note(self, address: str) -> None:
        if len(self._counts) < PRINCIPALS_MAX:
            self._counts[address] = self._counts.get(address, 0) + 1


class Principals:
    """The process's snapshots. `pool` is shared with other short reads."""

    def __init__(self, pool: psycopg_pool.AsyncConnectionPool[Any]) -> None:
        self._lookups = Lookups(pool)
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Principal | None]] = {}
        # Digests by a quick keyed hash of the header, for headers seen and found well formed.
        self._digests: dict[bytes, str] = {}
        self._quick_key = os.urandom(16)
        self._strangers = Strangers()
        # Counts what was forgotten: a snapshot read before that is not kept after it.
        self._epoch = 0

    async def resolve(self, authorization: bytes | None, address: str) -> Principal:
        """Raises `InvalidKey`, `Forbidden`, `TooManyWrongKeys` or `LedgerUnavailable`."""
        digest = self._digest(authorization)
        known = self._known.get(digest)
        if known is None:
            self._strangers.check(address)
            try:
                principal = await self._refresh(digest, None)
            except InvalidKey:
                self._strangers.note(address)
                raise
        elif time.monotonic() - known[1] > FRESH_SECONDS:
            principal = await self._refresh(digest, known)
        else:
            principal = known[0]
        principal.check(address)
        return principal

    def _digest(self, authorization: bytes | None) -> str:
        quick = hashlib.blake2b(authorization or b"", key=self._quick_key, digest_size=16).digest()
        digest = self._digests.get(quick)
        if digest is None:
            digest = keys.digest(secret_of(authorization))
            if len(self._digests) >= PRINCIPALS_MAX:
                self._digests.clear()
            self._digests[quick] = digest
        return digest

    async def is_refused(self, digest: str) -> bool:
        """Whether this key would be refused now, wherever it were used from. A database that
        does not answer refuses nobody."""
        try:
            principal = await self._load(digest)
        except (psycopg.Error, psycopg_pool.PoolTimeout, OSError, TimeoutError):
            return False
        return principal is None or not principal.is_usable

    def forget(self, *, digest: str = "", organization_id: int | None = None) -> None:
        """Drop snapshots that changed: one key's, one organization's, or all."""
        self._epoch += 1
        if digest:
            self._known.pop(digest, None)
        elif organization_id is None:
            self._known.clear()
        else:
            for known_digest, (principal, _) in list(self._known.items()):
                if principal.organization_id == organization_id:
                    del self._known[known_digest]

    async def _refresh(self, digest: str, known: tuple[Principal, float] | None) -> Principal:
        # Callers that miss the same key at once share one query.
        task = self._loading.get(digest)
        if task is None:
            task = asyncio.create_task(self._load(digest))
            self._loading[digest] = task
            task.add_done_callback(lambda _: self._loading.pop(digest, None))
        try:
            # Giving up a query takes the driver seconds where the server does not answer at all;
            # that is the task's time, not the caller's.
            async with asyncio.timeout(LOOKUP_SECONDS):
                principal = await asyncio.shield(task)
        except (psycopg.Error, psycopg_pool.PoolTimeout, OSError) as error:
            if known is not None and time.monotonic() - known[1] < STALE_SECONDS_MAX:
                return known[0]
            raise LedgerUnavailable("keys cannot be looked up") from error
        if principal is None:
            self._known.pop(digest, None)
            raise InvalidKey("The API key is not valid. Check that you copied all of it.")
        return principal

    async def _load(self, digest: str) -> Principal | None:
        epoch = self._epoch
        row = await self._lookups.find(digest)
        if row is None:
            return None
        principal = _principal(row)
        if epoch != self._epoch:
            return principal
        self._known[digest] = (principal, time.monotonic())
        self._known.move_to_end(digest)
        while len(self._known) > PRINCIPALS_MAX:
            self._known.popitem(last=False)
        return principal


def _principal(row: dict[str, Any]) -> Principal:
    return Principal(
        organization_id=row["organization_id"],
        project_id=row["project_id"],
        api_key_id=row["api_key_id"],
        digest=row["digest"],
        wallet_id=row["wallet_id"],
        limits=Limits(
            organization_id=row["organization_id"],
            requests_per_minute=row["requests_per_minute"],
            tokens_per_minute=row["tokens_per_minute"],
            key_id=row["api_key_id"],
            key_requests_per_minute=row["key_rpm"],
            key_tokens_per_minute=row["key_tpm"],
        ),
        markup_ppm=row["markup_ppm"],
        body_bytes_max=row["body_bytes_max"],
        allowed_models=frozenset(row["allowed_models"]),
        allowed_networks=tuple(
            ipaddress.ip_network(text, strict=False) for text in row["allowed_addresses"]
        ),
        cap_day_nanos=row["spend_cap_day_nanos"],
        cap_month_nanos=row["spend_cap_month_nanos"],
        cap_project_month_nanos=row["budget_month_nanos"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        is_suspended=row["suspended_at"] is not None,
    )
