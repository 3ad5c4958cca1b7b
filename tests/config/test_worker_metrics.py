"""What a worker tells of the platform, over its own little port."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.db import OperationalError

from accounts import mail
from billing import gauges, ledger, partitions, rollups
from billing.models import AccountDelta, AccountKind
from config import worker_metrics
from config.launcher import ports
from tests.billing import scenes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def address(settings: Any) -> Iterator[str]:
    settings.WORKER_METRICS_PORT = ports.pick()
    server = worker_metrics.serve()
    assert server is not None
    yield f"http://127.0.0.1:{settings.WORKER_METRICS_PORT}/metrics"
    server.shutdown()
    server.server_close()


def _numbers(address: str) -> dict[str, float]:
    lines = httpx.get(address, trust_env=False).text.splitlines()
    pairs = [line.split() for line in lines if line.startswith("ttonk")]
    return {name: float(value) for name, value in pairs}


def test_a_platform_at_rest_owes_nothing(address: str) -> None:
    ledger.fold_deltas()
    ahead = {"ttonk_partition_months_ahead": partitions.MONTHS_AHEAD}
    assert _numbers(address) == dict.fromkeys(worker_metrics.GAUGES, 0) | ahead


def test_what_the_platform_lost_counts_before_it_is_folded(address: str) -> None:
    ledger.fold_deltas()
    AccountDelta.objects.create(kind=AccountKind.OPERATOR_LOSS, debits_posted=2_500_000_000)
    before = _numbers(address)
    assert (before["ttonk_operator_loss_usd"], before["ttonk_deltas_unfolded"]) == (2.5, 1)
    ledger.fold_deltas()
    after = _numbers(address)
    assert (after["ttonk_operator_loss_usd"], after["ttonk_deltas_unfolded"]) == (2.5, 0)


def test_a_hold_nobody_extends_is_overdue(address: str) -> None:
    request = scenes.Request(scenes.make_organization())
    scenes.authorize(request, hold_seconds=45)
    scenes.authorize(request, hold_seconds=-30)
    numbers = _numbers(address)
    assert (numbers["ttonk_holds_pending"], numbers["ttonk_holds_overdue"]) == (2, 1)
    assert 29 < numbers["ttonk_hold_overdue_seconds"] < 60


def test_a_record_lags_until_it_is_rolled_up(address: str) -> None:
    scenes.use(scenes.make_organization())
    assert 0 < _numbers(address)["ttonk_rollup_lag_seconds"] < 60
    scenes.wait_until_visible()
    rollups.roll_up()
    assert _numbers(address)["ttonk_rollup_lag_seconds"] == 0


def test_a_mail_that_waits_is_told_by_its_age(address: str) -> None:
    assert _numbers(address)["ttonk_mail_waiting_seconds"] == 0
    mail.queue("dora@example.com", "", lambda: mail.Letter(subject="Hello", title="Hello"))
    assert 0 < _numbers(address)["ttonk_mail_waiting_seconds"] < 60


def test_a_database_that_is_away_is_told_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> gauges.Gauges:
        raise OperationalError("away")

    monkeypatch.setattr(gauges, "read", away)
    assert worker_metrics._read() == {"ttonk_database_unavailable": 1}


def test_where_a_token_is_set_it_is_asked_for(address: str, settings: Any) -> None:
    settings.METRICS_TOKEN = "t0ken"
    assert httpx.get(address, trust_env=False).status_code == 404
    sent = {"Authorization": "Bearer t0ken"}
    assert httpx.get(address, headers=sent, trust_env=False).status_code == 200
    assert httpx.get(address + "x", headers=sent, trust_env=False).status_code == 404


def test_no_port_is_no_endpoint(settings: Any) -> None:
    settings.WORKER_METRICS_PORT = 0
    assert worker_metrics.serve() is None
