"""Round `upstream`: providers that refuse, hang, break off, talk nonsense and lie, under load."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.goals import Verdict
from tests.faults import ground as grounds
from tests.faults.audit import audit, request_id
from tests.faults.clients import Load, Seen, Wish
from tests.faults.rounds import Effort
from tests.scripts import Ending, Script
from tests.upstream import Received

CLIENTS = 16
SECONDS = {Effort.SHORT: 5.0, Effort.FULL: 60.0}
# The gateways' patience, so that what hangs does not hang the round.
PATIENCE = {
    "TTONK_FIRST_TOKEN_TIMEOUT_SECONDS": "2",
    "TTONK_ANSWER_TIMEOUT_SECONDS": "2",
    "TTONK_IDLE_TIMEOUT_SECONDS": "2",
    "TTONK_ANSWER_BYTES_MAX": "1000000",
}
# Reports of usage that no upstream can mean.
LIES: tuple[dict[str, Any], ...] = (
    {"prompt_tokens": -7, "completion_tokens": 3, "total_tokens": -4},
    {"prompt_tokens": 7, "completion_tokens": -3, "total_tokens": 4},
    {"prompt_tokens": 10**12, "completion_tokens": 10**12, "total_tokens": 2 * 10**12},
    {"prompt_tokens": "seven", "completion_tokens": None},
    {"prompt_tokens": 7},
    {},
)
MID_ENDINGS: tuple[Ending, ...] = (
    "close", "half", "reset", "error", "garbage", "silence", "no_done", "talk",
)  # fmt: skip


def misbehaving(rng: random.Random, tag: str) -> Wish:
    """Half of what is asked is answered well, half in one of the bad ways."""
    is_stream = rng.random() < 0.6
    chunks = rng.randint(1, 20)
    good = Script(tag=tag, chunks=chunks, gap_ms=rng.choice((0, 10)))
    kind = rng.randrange(14)
    if kind < 7:
        return Wish(good, is_stream)
    bad = {
        7: Script(tag=tag, status=rng.choice((400, 401, 403, 404, 408, 429, 500, 502, 503, 529)),
                  raw=rng.choice(("no", "<html>Bad Gateway</html>", '{"error": {"message": 7}}'))),
        8: Script(tag=tag, raw=rng.choice(("<html>200 and wrong</html>", "null", "[]", "{}", "{"))),
        9: Script(tag=tag, silent=True),
        10: Script(tag=tag, chunks=chunks, ending=rng.choice(MID_ENDINGS),
                   cut_after=rng.randint(0, chunks)),
        11: Script(tag=tag, chunks=chunks, usage=rng.choice(LIES)),
        12: Script(tag=tag, chunks=2, event_chars=rng.choice((20_000, 200_000)), usage="absent"),
        13: Script(tag=tag, chunks=chunks, first_token_ms=rng.choice((200, 1000)), gap_ms=40,
                   usage=rng.choice(("with_choices", "absent"))),
    }[kind]  # fmt: skip
    return Wish(bad, is_stream)


def run(effort: Effort, seed: int) -> list[Verdict]:
    with grounds.opened(has_worker=False, channels=3, environment=PATIENCE) as ground:
        load = Load(list(ground.urls.values()), ground.keys, seed, misbehaving, pause_seconds=0.1)
        began_at = time.monotonic()
        with load.running(CLIENTS):
            time.sleep(SECONDS[effort])
        seconds = time.monotonic() - began_at
        ground.wait_settled()
        received = list(ground.upstream.received)
        with ground.books() as books:
            found = audit(load.seen, received, books)
        is_proven = ground.is_proven()
    found.show()
    # Those before the first token only: there is no other place to see a second attempt from.
    retries = len(received) - len({request_id(call) for call in received})
    allowed = 0.1 * len(load.seen) + 10 * (seconds + 1)
    twice = _asked_after_first_token(load.seen, received)
    return [
        Verdict(
            "upstream retries of a misbehaving upstream",
            "<= 10% of requests + 10/s",
            f"{retries} of {len(load.seen)} requests in {seconds:.0f} s, {allowed:.0f} allowed",
            0 < retries <= allowed,
        ),
        Verdict("upstream retries after the first byte", "none", f"{twice}", twice == 0),
        Verdict(
            "upstream misbehaves: charges lost, duplicate, other than published; ledger proves",
            "0, 0, 0; yes",
            f"{len(found.lost)}, {len(found.duplicate)}, {len(found.wrong)} of"
            f" {found.requests}; {'yes' if is_proven else 'no'}",
            found.is_clean and is_proven and found.whole > 0,
        ),
        Verdict(
            "upstream misbehaves: answers with 500, or no answer",
            "0",
            f"{_unanswered(load.seen)}",
            not _unanswered(load.seen),
        ),
    ]


def _asked_after_first_token(seen: Sequence[Seen], received: Sequence[Received]) -> int:
    """Requests whose client had seen a piece of one attempt before another was made."""
    calls = Counter(request_id(call) for call in received)
    last = {request_id(call): call.at for call in received}
    return sum(
        calls[one.request_id] > 1
        and bool(one.texts)
        and one.headed_at is not None
        and one.headed_at < last[one.request_id]
        for one in seen
    )


def _unanswered(seen: Sequence[Seen]) -> int:
    return sum(one.status in (0, 500) for one in seen)
