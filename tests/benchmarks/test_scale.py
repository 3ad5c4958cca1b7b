"""The scale's own pieces: what is filled is a ledger that proves, and verdicts read as they mean.

The history is filled in a database of its own, as the command does it, only smaller.
"""

import json
import os
import subprocess
import sys

import msgspec
import pytest

from benchmarks.figures import Figures
from benchmarks.scale import pages, pair, starts, traffic, workers
from benchmarks.scale.fill import Filled, Size
from benchmarks.scale.pages import Page
from benchmarks.scale.traffic import Compared
from billing import rollups, statements
from config.launcher.folder import PROJECT


def _figures(**known: float) -> Figures:
    zeros = {name: 0 for name in Figures.__struct_fields__ if name != "statuses"}
    return Figures(**{**zeros, **known}, statuses={})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "large"),
    [
        (Size(0, 1_001, 1_001), 1),
        (Size(0, 10, 12), 1),
        (Size(10**7, 10**5, 10**6), 1_000),
        (Size(200_000, 2_000, 20_000), 200),
    ],
)
def test_the_large_organization_leaves_every_other_one_a_key(size, large):
    assert size.large_keys == large
    assert size.keys - size.large_keys >= size.organizations - 1


def test_latency_is_met_where_neither_percentile_grew_by_a_fifth():
    empty, full = _figures(p50_ms=10, p99_ms=20), _figures(p50_ms=11, p99_ms=23)
    for figures, is_met in ((full, True), (_figures(p50_ms=10, p99_ms=25), False)):
        empty = _figures(p50_ms=10, p99_ms=20, gateway_cpu_us=1)
        (verdict,) = traffic.verdicts([Compared(16, empty, figures, None)], 10)
        assert verdict.is_met is is_met


def test_one_wallet_is_compared_with_many_of_the_same_database():
    side = _figures(p50_ms=1, p99_ms=1, gateway_cpu_us=1, per_second=100)
    slow = msgspec.structs.replace(side, per_second=90)
    *_, verdict = traffic.verdicts([Compared(64, side, side, slow)], 1_000)
    assert (verdict.figure, verdict.is_met) == ("0.90x", False)


def test_two_gateways_add_up():
    one = _figures(per_second=100, gateway_cpu_us=500)
    two = [_figures(per_second=95, gateway_cpu_us=510) for _ in range(2)]
    (verdict,) = pair.verdicts(pair.Pair(one, two, 0.25))
    assert verdict.is_met and verdict.figure.startswith("1.90x, each with 25% of a core")


def test_a_slow_page_and_one_that_fails_are_no_pages_met():
    fine = Page("usage", "/usage", 200, 20, 50, "")
    redirect = Page("home", "/", 302, 900, 900, "")
    slow = Page("keys", "/keys", 200, 20, 201, "")
    broken = Page("invoice", "/i", 500, 20, 20, "")
    opened = Page("find", "/admin/find/?q=x", 302, 20, 299, "search")
    row = Page("billing_plan", "/admin/billing/plan/1/change/", 200, 20, 301, "row")
    found = [one.is_met for one in pages.verdicts([fine, redirect, opened, row])]
    assert found == [True, False, True, False]
    for other in (slow, broken):
        assert not next(pages.verdicts([fine, other])).is_met


def test_streams_fail_by_one_failure_or_one_connection_too_many():
    start = starts.Start("empty", 1.0, 1.0, 1.0)
    for failed, most, is_met in ((0, 20, True), (1, 20, False), (0, 21, False)):
        streams = starts.Streams(500, 1_000, failed, {}, 20, most)
        *_, verdict = starts.verdicts(start, start, streams, 10)
        assert verdict.is_met is is_met


def test_the_workers_statements_are_known_by_a_word_of_them():
    running = [rollups._ADD, "SELECT 1"]
    assert workers.tasks_of(running) == {"roll_up_usage"}
    assert workers.tasks_of([statements.FOLD]) == {"fold_deltas"}
    assert workers.tasks_of(["SELECT 1"]) == set()


def test_a_backlog_at_which_nobody_was_seen_working_is_no_rate():
    drained = workers.Drained(30_000, True, 9.0, {"roll_up_usage": 2.5, "fold_deltas": 0.5}, 1.0)
    assert drained.per_second == 10_000
    unseen = msgspec.structs.replace(drained, working_seconds={})
    assert [one.is_met for one in workers.verdicts(drained)] == [True, True]
    assert [one.is_met for one in workers.verdicts(unseen)] == [False, True]


def test_every_page_with_an_address_is_found_and_each_has_a_name():
    known = {
        "request_id": "req_" + "0" * 32,
        "before": "x",
        "number": "1",
        "slug": "pro",
        "pk": "1",
    }
    found = list(pages.addresses(known))
    names = {name for name, path in found if path}
    assert {"overview", "usage", "requests", "request", "billing", "invoice", "keys"} <= names
    assert len([path for name, path in found if name == "usage"]) == 10


def test_a_filled_database_proves_and_its_sums_are_its_requests(tmp_path):
    """Twenty thousand rows through the whole fill, in a data folder of its own."""
    inside = (
        f"{sys.executable} -m benchmarks.scale.fill 1 20000 60 300"
        f" && {sys.executable} manage.py prove_ledger --json"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "TTONK_DATA"}
    } | {"DJANGO_SETTINGS_MODULE": "config.settings.local"}
    done = subprocess.run(
        [sys.executable, "-m", "config.launcher", "exec", "--throwaway", "--", "sh", "-c", inside],
        cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    filled, proof = done.stdout.splitlines()[-2:]
    made = msgspec.json.decode(filled, type=Filled)
    checked = {check["name"]: check["checked"] for check in json.loads(proof)["checks"]}
    assert len(made.keys) == 60
    assert 1_500 < made.large_requests < 2_500
    assert (checked["charges"], checked["settlements"]) == (20_000, 20_000)
    assert checked["invoices"] > 0 and checked["rollups"] > 0


def test_every_operators_page_is_asked_for_with_the_newest_row_of_its_table():
    known = {"request_id": "req_" + "0" * 32}
    newest = {"accounts.organization": "7", "billing.invoice": "9"}
    found = list(pages.admin_addresses(known, newest))
    paths = {path for _kind, _name, path in found}
    assert {
        "/admin/", "/admin/billing/costday/margin/", "/admin/accounts/organization/7/adjust/",
        "/admin/billing/invoice/9/change/", "/admin/billing/invoice/9/history/",
        "/admin/providers/price/add/", "/admin/accounts/organization/?plan=own",
    } <= paths  # fmt: skip
    assert {kind for kind, _name, _path in found} == {"list", "search", "row"}
    assert not any("/export/" in path or "/impersonate/" in path for path in paths)
