"""A store that stops answering: what the product promises without it, and that it comes back."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.journeys.books import until
from tests.journeys.callers import RATE_HEADERS, Caller, price, request_id
from tests.journeys.laboratory import Laboratory
from tests.journeys.members import Member
from tests.scripts import PROMPT_TOKENS, Script

# 503 within one second, as promised, and as much again for a machine busy with other tests.
REFUSED_SECONDS = 2.0
RECOVERED_SECONDS = 5.0
# How long the lane waits for Redis once, several times over.
FROZEN_ANSWER_SECONDS = 1.0
# Of a gateway, a worker and the tests together; a gateway's pages have a handful of them.
CONNECTIONS_MAX = 30


def test_a_frozen_database_refuses_new_requests_and_loses_no_charge(
    lab: Laboratory, alice: Member, caller: Caller
) -> None:
    known, unknown = caller, lab.caller(alice.make_key("never used before"))
    assert known.ask().status_code == 200
    pieces = 50
    with caller.stream(Script(chunks=pieces, gap_ms=100)) as stream, ThreadPoolExecutor(1) as side:
        stream.read(1)
        with lab.frozen_database():
            end = side.submit(stream.read)
            for one in (known, unknown, known, unknown):
                _check_unavailable(one)
            until(lambda: lab.readiness()[0] == 503, "/readyz tells")
            _, parts = lab.readiness()
            assert (parts["database"], parts["redis"]) == ("unavailable", "ok")
            # The stream outlives the freeze's first seconds, and ends while it lasts.
            end.result(30)
            assert stream.is_done
            for one in (known, unknown):  # snapshots of keys are old by now
                _check_unavailable(one)
        thawed_at = time.monotonic()
        until(lambda: known.ask().status_code == 200, "it answers again", seconds=10)
        until(lambda: unknown.ask().status_code == 200, "new keys are known", seconds=10)
    assert time.monotonic() - thawed_at < RECOVERED_SECONDS
    assert lab.readiness()[0] == 200
    record = lab.books.record(stream.request_id)
    assert record["billing_reason"] == "completed"
    charge = price("qwen-plus", PROMPT_TOKENS, pieces)
    assert (record["charge_nanos"], lab.books.charged(stream.request_id)) == (charge, charge)
    lab.prove()


def _check_unavailable(caller: Caller) -> None:
    """A store that cannot be asked is never a wrong key."""
    started = time.monotonic()
    answer = caller.ask()
    took = time.monotonic() - started
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["type"] == "server_error"
    assert took < REFUSED_SECONDS


def test_a_frozen_valkey_still_answers_and_still_limits(lab: Laboratory, alice: Member) -> None:
    rich = lab.caller(alice.first_key)
    limited = lab.caller(
        lab.stack.manage("create_key", alice.organization, "--rpm", "5")["api_key"]
    )
    assert rich.ask().status_code == limited.ask().status_code == 200
    with lab.frozen_valkey():
        answers, seconds = _timed(rich, 20)
        assert Counter(answer.status_code for answer in answers) == {200: 20}
        assert all(set(RATE_HEADERS) <= set(answer.headers) for answer in answers)
        assert max(seconds) < FROZEN_ANSWER_SECONDS
        assert statistics.median(seconds) < FROZEN_ANSWER_SECONDS / 4
        _check_still_limited(limited)
        until(lambda: lab.readiness()[1]["redis"] == "degraded", "/readyz tells")
        assert lab.readiness()[0] == 200, "a degradation, not an outage"
    until(lambda: lab.readiness()[1]["redis"] == "ok", "it is used again", seconds=5)
    # What was taken meanwhile is taken there too.
    assert limited.ask().status_code == 429
    for answer in answers:
        assert lab.books.charged(request_id(answer)) == price("qwen-plus", PROMPT_TOKENS, 3)
    lab.prove()


def _check_still_limited(limited: Caller) -> None:
    answers, _ = _timed(limited, 15)
    admitted = [answer for answer in answers if answer.status_code == 200]
    # One of five was used before; each twelve seconds bring another.
    assert 1 <= len(admitted) <= 6
    refused = answers[-1]
    assert refused.status_code == 429
    assert set(RATE_HEADERS) <= set(refused.headers)
    assert int(refused.headers["retry-after"]) >= 1


def _timed(caller: Caller, times: int) -> tuple[list[httpx.Response], list[float]]:
    answers, seconds = [], []
    for _ in range(times):
        started = time.monotonic()
        answers.append(caller.ask())
        seconds.append(time.monotonic() - started)
    return answers, seconds


def test_many_pages_share_a_few_connections_to_the_database(lab: Laboratory) -> None:
    """Each page has a thread of its own; connections kept by ended threads would use up all."""
    with ThreadPoolExecutor(8) as people:
        answers = list(
            people.map(lambda _: httpx.get(lab.stack.base_url, trust_env=False), range(200))
        )
    assert {answer.status_code for answer in answers} == {200}
    (row,) = lab.books.rows(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
    )
    assert row["n"] <= CONNECTIONS_MAX
