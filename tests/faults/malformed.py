"""Malformed input of every kind the generators know: refused, never forwarded, never charged."""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from benchmarks.goals import Verdict
from tests.faults import framing, inputs, schemas, targets
from tests.faults.connections import Answer, Broken, Connection
from tests.faults.inputs import Input
from tests.faults.rounds import Effort
from tests.faults.targets import Target
from tests.journeys.books import until

COUNTS = {Effort.SHORT: 2_000, Effort.FULL: 50_000}
CONCURRENT = 4
BODY_SECONDS = 2


@dataclass
class Tally:
    """What came back. `wrong` holds the first few that should not have, for the reader."""

    sent: int = 0
    valid: int = 0
    refused: int = 0
    failed: int = 0  # with a 5xx
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def take(self, asked: Input, answer: Answer) -> None:
        """Count one answer."""
        if not asked.wrong:
            self.valid += 1
        else:
            self.sent += 1
            self.kinds[asked.wrong] += 1
        self.failed += answer.status >= 500
        is_good = answer.status in asked.statuses and (
            not asked.wrong or asked.is_head or answer.error is not None
        )
        if is_good:
            self.refused += bool(asked.wrong)
        elif len(self.wrong) < 10:
            self.wrong.append(f"{answer.status} {answer.body[:200]!r} to {asked!r:.1500}")

    def add(self, other: Tally) -> None:
        self.sent += other.sent
        self.valid += other.valid
        self.refused += other.refused
        self.failed += other.failed
        self.kinds += other.kinds
        self.wrong += other.wrong


def run(effort: Effort, seed: int) -> list[Verdict]:
    with targets.opened(
        "malformed",
        TTONK_BODY_TIMEOUT_SECONDS=str(BODY_SECONDS),
        TTONK_TRUSTED_PROXIES="127.0.0.1",
    ) as target:
        transfers = target.count("billing_transfer")
        tally = send(target, COUNTS[effort], seed)
        forwarded = len(target.upstream.received) - tally.valid
        for line in tally.wrong:
            print(f"  {line}", flush=True)
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(tally.kinds.items()))
        print(f"  {kinds}", flush=True)
        framed = framing.run(target, effort, seed)
        # Before the valid ones that schemathesis makes too.
        booked = _booked(target, transfers, tally.valid)
        from_schemas = schemas.run(target, effort, seed)
        return [_answered(tally, forwarded), *framed, booked, from_schemas]


def send(target: Target, count: int, seed: int) -> Tally:
    """At least so many malformed requests, over a few connections at a time."""
    share = -(-count // CONCURRENT)
    tally = Tally()
    with concurrent.futures.ThreadPoolExecutor(CONCURRENT) as pool:
        for part in pool.map(
            lambda number: _send_some(target, share, Random(f"{seed} {number}")), range(CONCURRENT)
        ):
            tally.add(part)
    return tally


def _send_some(target: Target, count: int, rng: Random) -> Tally:
    tally = Tally()
    connection = Connection(target.address)
    while tally.sent < count:
        asked = inputs.generate(rng, target.key)
        connection.send(asked.data)
        try:
            answer = connection.answer(is_head=asked.is_head)
        except (Broken, TimeoutError):
            answer = Answer(0, b"\r\nconnection: close", b"no answer")
        tally.take(asked, answer)
        if answer.is_last:
            connection.socket.close()
            connection = Connection(target.address)
    connection.socket.close()
    return tally


def _answered(tally: Tally, forwarded: int) -> Verdict:
    is_met = tally.refused == tally.sent and not (tally.failed or forwarded or tally.wrong)
    return Verdict(
        "malformed inputs",
        "50,000; all 4xx in the envelope, 0 5xx, 0 upstream calls",
        f"{tally.sent:,} sent, {tally.refused:,} were 4xx in the envelope, {tally.failed} were 5xx,"
        f" {forwarded} upstream calls; {tally.valid:,} valid ones among them were answered",
        is_met,
    )


def _booked(target: Target, transfers: int, valid: int) -> Verdict:
    """The gateway still answers, and the books know of the valid requests alone."""
    until(lambda: target.books.pending() == 0, "no hold is pending", seconds=30)
    more = target.count("billing_transfer") - transfers - valid
    is_running = target.stack.processes["gateway"].poll() is None
    with Connection(target.address) as connection:
        connection.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        is_answering = is_running and connection.answer().status == 200
    is_calm = "Traceback" not in target.stack.log("gateway")
    return Verdict(
        "malformed inputs leave nothing behind",
        "0 charges, 0 holds, no error in the log, the same process still answers",
        f"{more} charges or holds, log {'calm' if is_calm else 'with tracebacks'},"
        f" {'answers' if is_answering else 'does not answer'}",
        more == 0 and is_answering and is_calm,
    )
