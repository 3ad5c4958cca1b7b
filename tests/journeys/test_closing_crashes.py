"""A month's closing that is killed in the middle, and several at once: no number twice, none
missing."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime

import psycopg

from tests.journeys.books import until
from tests.journeys.laboratory import Laboratory
from tests.scripts import Script
from tests.stack import PROJECT

CUSTOMERS = 6


def test_a_killed_closing_leaves_no_gap_and_parallel_ones_make_every_number_once(
    lab: Laboratory,
) -> None:
    for n in range(CUSTOMERS):
        caller = lab.enrol(f"Closed {n}", "1")
        assert caller.ask(Script(chunks=n + 1), "qwen-max").status_code == 200
    lab.wait_settled(seconds=30)
    before = numbers(lab)
    with psycopg.connect(lab.stack.database_url) as other:
        # The mails about invoices are written last: there every closing waits, its numbers drawn.
        other.execute("LOCK TABLE accounts_outgoingmail IN ACCESS EXCLUSIVE MODE")
        doomed = closing(lab)
        until(lambda: waits_for_the_lock(lab), "the closing waits", seconds=60)
        doomed.send_signal(signal.SIGKILL)
        doomed.wait(30)
        assert numbers(lab) == before
    until(lambda: not waits_for_the_lock(lab), "its transaction is gone", seconds=30)
    together = [closing(lab) for _ in range(3)]
    assert [one.wait(120) for one in together] == [0, 0, 0]
    after = numbers(lab)
    assert set(before) < set(after)
    for code in {code for code, _ in after}:
        mine = sorted(number for one, number in after if one == code)
        assert mine == list(range(1, len(mine) + 1))
    invoiced = lab.books.rows(
        "SELECT o.name, count(*) AS n FROM billing_invoice i"
        " JOIN accounts_organization o ON o.id = i.organization_id"
        " WHERE o.name LIKE 'Closed %%' GROUP BY 1 ORDER BY 1"
    )
    assert [(row["name"], row["n"]) for row in invoiced] == [
        (f"Closed {n}", 1) for n in range(CUSTOMERS)
    ]
    lab.prove()


def closing(lab: Laboratory) -> subprocess.Popen[bytes]:
    month = datetime.now(UTC).strftime("%Y-%m")
    return subprocess.Popen(
        [sys.executable, "manage.py", "close_month", month, "--allow-current"],
        env=lab.stack.environment, cwd=PROJECT, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def waits_for_the_lock(lab: Laboratory) -> bool:
    return bool(
        lab.books.rows(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query ILIKE 'INSERT INTO%%accounts_outgoingmail%%'"
        )
    )


def numbers(lab: Laboratory) -> list[tuple[str, int]]:
    found = lab.books.rows(
        "SELECT s.code, i.number FROM billing_invoice i JOIN billing_issuer s ON s.id = i.issuer_id"
    )
    return sorted((str(row["code"]), int(row["number"])) for row in found)
