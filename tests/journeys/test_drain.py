"""SIGTERM: what runs is finished and charged, what is new is refused."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.journeys.books import until
from tests.journeys.callers import Caller, Stream, price
from tests.journeys.laboratory import Laboratory
from tests.scripts import PROMPT_TOKENS, Script

STREAMS = 20
PIECES = 30


def test_sigterm_lets_twenty_streams_finish_and_refuses_new_connections(
    lab: Laboratory, caller: Caller
) -> None:
    have_begun = Barrier(STREAMS + 1)

    def stream() -> Stream:
        with caller.stream(Script(chunks=PIECES, gap_ms=100)) as running:
            running.read(1)
            have_begun.wait(20)
            return running.read()

    process = lab.stack.processes["gateway"]
    with ThreadPoolExecutor(STREAMS) as threads:
        streams = [threads.submit(stream) for _ in range(STREAMS)]
        have_begun.wait(20)
        process.send_signal(signal.SIGTERM)
        until(lambda: not _accepts(lab), "new connections are refused", seconds=5)
        assert process.poll() is None, "it still carries the streams"
        ended = [one.result(30) for one in streams]
    assert process.wait(20) == 0
    del lab.stack.processes["gateway"]
    lab.stack.start_gateway()
    for one in ended:
        assert one.is_done
        assert len(one.texts) == PIECES
        charge = price("qwen-plus", PROMPT_TOKENS, PIECES)
        assert lab.books.charged(one.request_id) == charge
        assert lab.books.record(one.request_id)["billing_reason"] == "completed"
    lab.prove()


def _accepts(lab: Laboratory) -> bool:
    host, _, port = lab.stack.base_url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True
