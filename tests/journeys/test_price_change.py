"""A price that changes under load: each request is priced by its start, whatever the moment of its
end, and all of it recomputes."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from tests.journeys.callers import NANOS, Caller
from tests.journeys.laboratory import Laboratory
from tests.scripts import PROMPT_TOKENS, Script

MODEL = "qwen-turbo"
FACTOR = 3
STREAMS = 12
LEAD = timedelta(seconds=5)  # until gateways know of the version that is to come
AFTER_SECONDS = 3.0


def test_each_request_under_load_is_priced_by_its_start(lab: Laboratory) -> None:
    caller = lab.enrol("Price change", "50")
    assert caller.ask(Script(chunks=1), MODEL).status_code == 200
    old = price_in_effect(lab)
    moment = datetime.now(UTC) + LEAD
    new = schedule(lab, moment)
    requests = load(lab, caller, moment)
    lab.wait_settled(seconds=30)
    seen = {old: 0, new: 0}
    across = 0
    for request_id in requests:
        record = lab.books.record(request_id)
        is_new = record["started_at"] >= moment
        assert record["price_id"] == (new if is_new else old), record
        prompt, output = NANOS[MODEL]
        factor = FACTOR if is_new else 1
        tokens = record["output_tokens"]
        assert record["input_tokens"] == PROMPT_TOKENS
        assert record["charge_nanos"] == factor * (PROMPT_TOKENS * prompt + tokens * output)
        assert lab.books.charged(request_id) == record["charge_nanos"]
        seen[record["price_id"]] += 1
        across += not is_new and record["charged_at"] > moment
    # Streams that began under the old price and ended under the new one are what it is about.
    assert min(seen.values()) >= STREAMS // 2
    assert across >= STREAMS // 4
    lab.prove()


def price_in_effect(lab: Laboratory) -> int:
    (row,) = lab.books.rows(
        "SELECT p.id FROM providers_price p JOIN providers_model m ON m.id = p.model_id"
        " WHERE m.name = %(model)s AND p.effective_at <= now()"
        " ORDER BY p.effective_at DESC LIMIT 1",
        model=MODEL,
    )
    return int(row["id"])


def schedule(lab: Laboratory, moment: datetime) -> int:
    """A version three times as dear from `moment` on, written as the admin writes one: the version
    and its rate in one transaction."""
    with lab.books.connection.transaction():
        (row,) = lab.books.rows(
            "INSERT INTO providers_price (model_id, effective_at, note, created_at)"
            " SELECT id, %(at)s, '', now() FROM providers_model WHERE name = %(model)s"
            " RETURNING id",
            at=moment, model=MODEL,
        )  # fmt: skip
        lab.books.change(
            "INSERT INTO providers_pricerate (price_id, context_tokens_min, weekdays, start_minute,"
            " end_minute, input_nanos, cached_input_nanos, cache_write_nanos, output_nanos,"
            " reasoning_output_nanos) SELECT %(new)s, context_tokens_min, weekdays, start_minute,"
            " end_minute, input_nanos * %(factor)s, cached_input_nanos * %(factor)s,"
            " cache_write_nanos * %(factor)s, output_nanos * %(factor)s,"
            " reasoning_output_nanos * %(factor)s FROM providers_pricerate"
            " WHERE price_id = %(old)s",
            new=row["id"], old=price_in_effect(lab), factor=FACTOR,
        )  # fmt: skip
    return int(row["id"])


def load(lab: Laboratory, caller: Caller, moment: datetime) -> list[str]:
    """Streams of a second or so, one after the other in many threads, across the moment."""
    done: list[str] = []
    errors: list[BaseException] = []
    until_seconds = time.monotonic() + (moment - datetime.now(UTC)).total_seconds() + AFTER_SECONDS

    def work(n: int) -> None:
        mine = lab.caller(caller.key)
        try:
            while time.monotonic() < until_seconds:
                script = Script(chunks=8 + n, gap_ms=60)
                with mine.stream(script, MODEL, max_tokens=100) as stream:
                    assert stream.read().is_done
                    done.append(stream.request_id)
        except BaseException as error:  # told to the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(STREAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    return done
