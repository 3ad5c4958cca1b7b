"""Streams under a gateway that is killed: each costs the progress last saved, and no more."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.wire import request_bytes
from tests.faults.answers import OUTPUT, PROMPT, SHAPES
from tests.faults.arena import Arena, Customer
from tests.faults.lines import Line, Theatre
from tests.faults.severances import Cut, Ending
from tests.journeys.books import until

# Progress is saved every two seconds, of streams older than that.
SAVED_SECONDS = 4.8
YOUNG_SECONDS = 0.7
SETTLED_SECONDS = 60


@dataclass
class Outcome:
    streams: int
    problems: list[str] = field(default_factory=list)


async def run(
    stage: Arena, customer: Customer, theatre: Theatre, first: int, count: int
) -> Outcome:
    """Open `count` streams that stop in all places, and as many that have just begun; kill."""
    cuts = [Cut(shape, Ending.GONE, at) for shape in SHAPES for at in range(2, len(shape.events()))]
    old = {first + at: cuts[at % len(cuts)] for at in range(count)}
    young = {first + count + at: cuts[at % len(cuts)] for at in range(count)}
    lines = [await _open(stage, customer, theatre, number, cut) for number, cut in old.items()]
    await asyncio.sleep(SAVED_SECONDS)
    lines += [await _open(stage, customer, theatre, number, cut) for number, cut in young.items()]
    await asyncio.sleep(YOUNG_SECONDS)
    stage.stack.kill("gateway")
    for line in lines:
        line.hang_up()
    await asyncio.to_thread(stage.stack.start_gateway)
    await asyncio.to_thread(_settle, stage)
    outcome = Outcome(len(lines))
    for number, cut in [*old.items(), *young.items()]:
        charge = _progress(number, cut) if number in old else 0
        _check(stage, theatre, number, charge, outcome)
    return outcome


async def _open(stage: Arena, customer: Customer, theatre: Theatre, number: int, cut: Cut) -> Line:
    theatre.plays[number] = cut.play(random.Random(number))
    body = json.dumps(cut.shape.request(number, is_stream=True)).encode()
    headers = {"Authorization": f"Bearer {customer.key}"}
    request = request_bytes("/v1/chat/completions", body, headers)
    line = Line(request, lambda received: False, cut.leave)
    port = urlsplit(stage.urls[0]).port
    assert port is not None
    await asyncio.get_running_loop().create_connection(lambda: line, "127.0.0.1", port)
    return line


def _settle(stage: Arena) -> None:
    def is_settled() -> bool:
        if stage.books.pending():
            time.sleep(0.5)
            stage.operate(["expire_due"])
        return stage.books.pending() == 0

    until(is_settled, "no hold is pending", seconds=SETTLED_SECONDS)


def _progress(number: int, cut: Cut) -> int:
    """The prompt, and a token for each piece that was relayed. Nanos."""
    pieces = len(cut.told().texts)
    return cut.shape.counted_prompt(number) * PROMPT + pieces * OUTPUT if pieces else 0


def _check(stage: Arena, theatre: Theatre, number: int, charge: int, outcome: Outcome) -> None:
    request_id = theatre.seen[number][-1].request_id
    record, paid = stage.books.record(request_id), stage.books.charged(request_id)
    found = (record["billing_reason"], record["charge_nanos"], paid)
    if found != ("gateway_lost", charge, charge):
        outcome.problems.append(f"killed {number}: {found}, not {charge}")
