"""Processes that die without a last word, and settlements that come twice."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.journeys.books import until
from tests.journeys.callers import Caller, Stream, counted_prompt, price
from tests.journeys.laboratory import Laboratory
from tests.scripts import PROMPT_TOKENS, Script

# With holds of five seconds instead of 45: the hold's time, the worker's period, and leave for a
# machine busy with other tests.
HOLD_SECONDS = 5
SETTLED_SECONDS = 60.0


@pytest.fixture
def short_holds(lab: Laboratory) -> Iterator[None]:
    lab.restart_gateway(TTONK_HOLD_SECONDS=str(HOLD_SECONDS))
    yield
    lab.restart_gateway(TTONK_HOLD_SECONDS="45")


@pytest.mark.usefixtures("short_holds")
def test_kill_9_of_the_gateway_leaves_no_hold_and_charges_what_was_saved(
    lab: Laboratory, caller: Caller
) -> None:
    lab.stack.start_worker()
    script = Script(chunks=400, gap_ms=50)
    with _reading(caller, script) as old:
        until(lambda: _is_saved(lab, old), "its progress is saved")
        with _reading(caller, Script(chunks=400, gap_ms=50)) as young:
            lab.stack.kill("gateway")
    assert not old.is_done
    assert not young.is_done
    saved = lab.books.progress(old.request_id)
    assert saved is not None
    assert lab.books.pending() == 2
    lab.stack.start_gateway()
    assert caller.ask().status_code == 200
    lab.wait_settled(seconds=SETTLED_SECONDS)
    record = lab.books.record(old.request_id)
    assert (record["billing_reason"], record["error_code"]) == ("gateway_lost", "gateway_lost")
    assert record["input_tokens"] == counted_prompt(script.prompt())
    # Never more than the client got: a token for each piece that had been relayed when saved.
    assert 1 <= record["output_tokens"] <= len(old.texts)
    charge = price("qwen-plus", record["input_tokens"], record["output_tokens"])
    assert charge == record["charge_nanos"] == saved["charge_nanos"]
    assert lab.books.charged(old.request_id) == charge
    record = lab.books.record(young.request_id)
    assert (record["billing_reason"], record["charge_nanos"]) == ("gateway_lost", 0)
    assert lab.books.charged(young.request_id) == 0
    lab.prove()


@pytest.mark.usefixtures("short_holds")
def test_kill_9_of_the_worker_while_it_settles_settles_each_request_once(
    lab: Laboratory, caller: Caller, alice_wallet: str
) -> None:
    if "worker" in lab.stack.processes:
        lab.stack.stop("worker")
    with ExitStack() as streams:
        script = Script(chunks=400, gap_ms=50)
        running = [streams.enter_context(_reading(caller, script)) for _ in range(3)]
        for one in running:
            until(lambda one=one: _is_saved(lab, one), "its progress is saved")  # type: ignore[misc]
        lab.stack.kill("gateway")
    # Somebody else holds the wallet, so that the worker is in the middle of it for certain.
    with psycopg.connect(lab.stack.database_url) as other:
        other.execute(
            "SELECT id FROM billing_account WHERE organization_id = %s FOR UPDATE", [alice_wallet]
        )
        lab.stack.start_worker()
        until(lambda: _waiting_for_locks(lab), "the worker is in the middle", seconds=60)
        assert lab.books.pending() == 3
        lab.stack.kill("worker")
    lab.stack.start_worker()
    lab.stack.start_gateway()
    lab.wait_settled(seconds=SETTLED_SECONDS)
    for one in running:
        record = lab.books.record(one.request_id)
        assert record["billing_reason"] == "gateway_lost"
        assert record["charge_nanos"] == lab.books.charged(one.request_id) > 0
    lab.prove()


@pytest.fixture
def alice_wallet(lab: Laboratory) -> str:
    return str(lab.books.organization("Alice at work"))


def test_a_settlement_replayed_from_the_spool_charges_once(
    lab: Laboratory, caller: Caller, tmp_path: Path
) -> None:
    spool = Path(lab.stack.environment["TTONK_SPOOL_DIR"])
    with caller.stream(Script(chunks=10, gap_ms=50)) as stream:
        stream.read(1)
        with lab.frozen_database():
            stream.read()
            assert stream.is_done, "the client sees the end: the charge is on the disk"
            (spooled,) = until(lambda: list(spool.glob("*.jsonl")), "it is spooled")
            kept = Path(shutil.copy(spooled, tmp_path))
    charge = price("qwen-plus", PROMPT_TOKENS, 10)
    assert lab.books.record(stream.request_id)["charge_nanos"] == charge
    until(lambda: not list(spool.iterdir()), "the spool is empty")
    available = lab.books.available(lab.books.organization("Alice at work"))
    # The same file again, twice, as after a crash between its replay and its end.
    lab.stack.kill("gateway")
    for copy in ("again", "and-again"):
        shutil.copy(kept, spool / f"{copy}.jsonl")
    lab.stack.start_gateway()
    until(lambda: not list(spool.iterdir()), "the spool is empty again")
    assert len(lab.books.records(stream.request_id)) == 1
    assert lab.books.charged(stream.request_id) == charge
    assert lab.books.available(lab.books.organization("Alice at work")) == available
    lab.prove()


@contextmanager
def _reading(caller: Caller, script: Script) -> Iterator[Stream]:
    """A stream that somebody reads all the time, from its first piece to whatever ends it."""
    with caller.stream(script) as stream:
        stream.read(1)

        def read() -> None:
            with suppress(httpx.HTTPError):
                stream.read()

        reader = threading.Thread(target=read)
        reader.start()
        yield stream
        reader.join(30)
        assert not reader.is_alive()


def _is_saved(lab: Laboratory, stream: Stream) -> bool:
    return lab.books.progress(stream.request_id) is not None


def _waiting_for_locks(lab: Laboratory) -> bool:
    return bool(
        lab.books.rows(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
    )
