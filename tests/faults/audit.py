"""What clients saw and what the upstream sent, against what was booked: every request, every nano.

Nothing is believed of the gateway. The clients' history says who saw an answer whole, the
upstream's log what it sent for which request, and the endings' table what that costs.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.clients import MODEL, Seen
from tests.journeys.books import Books
from tests.journeys.callers import count, price
from tests.scripts import PROMPT_TOKENS, pieces_of, usage_of
from tests.upstream import Received

_SHOWN = 20
_COMPLETE = ("completed", "completed_estimated")
_FREE = ("client_gone_early", "upstream_failed")


@dataclass
class Booked:
    """Everything in the books for one request."""

    record: dict[str, Any] | None = None
    transfers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def charge(self) -> int:
        return int(self.record["charge_nanos"]) if self.record else 0

    @property
    def posted(self) -> int:
        """What the customer paid and what the operator bore of the charge."""
        return sum(one["amount_nanos"] for one in self.transfers if one["id"].int & 3 != 3)

    @property
    def late(self) -> int:
        return sum(one["amount_nanos"] for one in self.transfers if one["id"].int & 3 == 3)


@dataclass
class Audit:
    """The outcome. The lists hold a sentence for each request that contradicts a promise."""

    requests: int = 0
    whole: int = 0
    lost: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    # Told that it failed, and charged all the same: a commit whose end nobody could hear of.
    undecided: list[str] = field(default_factory=list)
    # Answers in one piece that were charged, and broke off on their way to the client.
    unseen: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    late: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicate or self.wrong or self.undecided)

    def show(self) -> None:
        """What was found, for whoever reads the round's output."""
        print(f"   {self.requests} requests: {dict(self.statuses.most_common())}", flush=True)
        print(f"   booked: {dict(self.reasons.most_common())}, {self.late} late,"
              f" {self.unseen} charged and not seen", flush=True)  # fmt: skip
        for kind in ("lost", "duplicate", "wrong", "undecided"):
            for line in getattr(self, kind)[:_SHOWN]:
                print(f"   {kind}: {line}", flush=True)


def audit(seen: Sequence[Seen], received: Sequence[Received], books: Books) -> Audit:
    """After everything has settled: each request once, by all three histories."""
    found = Audit(requests=len(seen))
    calls: dict[str, list[Received]] = {}
    for call in received:
        calls.setdefault(request_id(call), []).append(call)
    by_tag = {calls_of[0].script.tag: name for name, calls_of in calls.items()}
    booked = _booked(books)
    for one in seen:
        name = one.request_id or by_tag.get(one.tag, "")
        found.statuses[_ending(one)] += 1
        _check(found, one, calls.get(name, []), booked.get(_key(name), Booked()))
    for key, entry in booked.items():
        _check_booked(found, entry, calls.get(f"req_{uuid.UUID(int=key).hex}", []))
    return found


def request_id(call: Received) -> str:
    """As the gateway told the upstream."""
    return next(value for name, value in call.headers.items() if name.lower() == "x-request-id")


def _ending(one: Seen) -> str:
    if one.is_whole:
        return "whole"
    if one.has_given_up:
        return "hung up"
    if one.status and one.code:
        return f"{one.status} {one.code}"
    return "broken off" if one.status else "unreachable"


def _key(request_id: str) -> int:
    return uuid.UUID(request_id.removeprefix("req_")).int if request_id else -1


def _booked(books: Books) -> dict[int, Booked]:
    out: dict[int, Booked] = {}
    for record in books.rows("SELECT * FROM billing_usagerecord"):
        out.setdefault(record["id"].int, Booked()).record = record
    for row in books.rows("SELECT * FROM billing_transfer WHERE kind LIKE 'usage%%'"):
        out.setdefault(row["id"].int & ~3, Booked()).transfers.append(row)
    return out


def _check_booked(found: Audit, entry: Booked, calls: list[Received]) -> None:
    """What must hold of a booking, whoever asked for it."""
    name = (entry.transfers or [{"id": entry.record and entry.record["id"]}])[0]["id"]
    found.reasons[entry.record["billing_reason"] if entry.record else "none"] += 1
    found.late += entry.late > 0
    if any(row["state"] == "pending" for row in entry.transfers):
        found.lost.append(f"{name} is still held")
    if entry.posted > entry.charge:
        found.duplicate.append(f"{name} posted {entry.posted} for a charge of {entry.charge}")
    if entry.posted < entry.charge:
        found.wrong.append(f"{name} posted {entry.posted}, its record says {entry.charge}")
    if entry.charge and not calls:
        found.wrong.append(f"{name} charged {entry.charge} without a call to the upstream")


def _check(found: Audit, one: Seen, calls: list[Received], entry: Booked) -> None:
    """What must hold of what one client saw."""
    what = f"{one.request_id or one.tag} ({_ending(one)}, {len(one.texts)} pieces)"
    record = entry.record
    if record is None:
        if one.is_whole or calls:
            found.lost.append(f"{what} has no usage record")
        return
    reason, charge = record["billing_reason"], entry.charge
    if one.is_whole:
        found.whole += 1
        if reason not in _COMPLETE:
            found.lost.append(f"{what} was booked as {reason} for {charge}")
        elif one.usage is not None and round(one.usage["cost"] * 10**9) != charge:
            found.wrong.append(f"{what} was told {one.usage['cost']}, charged {charge}")
    if reason in _COMPLETE and one.code and not one.has_given_up:
        found.undecided.append(f"{what} was told {one.code}, and charged as {reason}")
    has_broken_off = not (one.is_whole or one.code or one.has_given_up)
    found.unseen += has_broken_off and bool(charge) and not one.wish.is_stream
    if not calls:
        if charge:
            found.wrong.append(f"{what} charged {charge} without a call to the upstream")
        return
    allowed = _allowed(reason, one, calls[-1])
    if charge not in allowed:
        some = sorted(allowed)[:3] + sorted(allowed)[-3:]
        found.wrong.append(f"{what} charged {charge} as {reason}, not one of {some}")


def _counts(text: str) -> set[int]:
    """Our own count, and the estimate for where the tokenizer cannot be waited for: four bytes
    a token (docs/decisions/0003). A process just started by a busy machine needs it."""
    return {count(text), len(text.encode()) // 4}


def _prompt_counts(text: str) -> set[int]:
    """Three more tokens frame the message, and the answer."""
    return {tokens + 6 for tokens in _counts(text)}


def _believable(usage: Any) -> dict[str, int] | None:
    """A report that can be true of these scripts' small answers; any other counts as none."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") != PROMPT_TOKENS:
        return None
    completion = usage.get("completion_tokens")
    return usage if isinstance(completion, int) and 0 < completion < 10_000 else None


def _allowed(reason: str, one: Seen, call: Received) -> set[int]:
    """Nanos that the endings' table allows, by what the upstream sent."""
    if reason in _FREE:
        return {0}
    pieces, _ = pieces_of(call.script, call.body)
    usage = _believable(usage_of(call.script, call.body))
    prompts = _prompt_counts(one.prompt)
    if reason in _COMPLETE:
        if usage is not None:
            return {price(MODEL, PROMPT_TOKENS, usage["completion_tokens"])}
        return {price(MODEL, p, n) for p in prompts for n in _counts("".join(pieces))}
    # Broken off: the prompt, and no more pieces than were sent. The first event is the role.
    sent = len(pieces) if call.finished_at else min(call.events_sent, len(pieces))
    numbers = range(min(len(one.texts), sent), sent + 1)
    counted = {n for number in numbers for n in _counts("".join(pieces[:number]))}
    allowed = {price(MODEL, p, n) for p in prompts for n in counted}
    if usage is not None:
        # Its report had come when the client went, but not all of the text had gone out.
        reported = usage["completion_tokens"]
        allowed |= {price(MODEL, PROMPT_TOKENS, min(n, reported)) for n in counted}
    if reason == "gateway_lost":
        # What was saved last: at most what its client has got, where that was reading.
        most = len(one.texts) if one.is_attentive and one.wish.is_stream else sent
        allowed |= {0, *(price(MODEL, p, n) for p in prompts for n in range(1, most + 1))}
    elif not one.texts:
        allowed.add(0)
    return allowed
