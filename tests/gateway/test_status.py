"""Probes, what is remembered of them, and the page that tells it."""

import time
import uuid
from datetime import timedelta
from unittest import mock

import psycopg
import pytest
import time_machine
from django.core.cache import cache
from django.db.utils import OperationalError
from django.utils import timezone

from billing.models import Measure, ModelHour
from gateway import heartbeats, history, probes
from gateway.models import Heartbeat, Incident, ProbeDay, ProbeMinute, State
from gateway.pages import status
from gateway.probes import Finding
from providers import seed
from providers.models import Channel, Model, Provider
from tests.gateway.wire import Wire
from tests.upstream import refused

pytestmark = pytest.mark.django_db

NOON = "2026-11-20T12:00:00+00:00"
CORE = ("api", "database", "valkey")


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


def channel(model: str = "qwen-turbo", provider: str = "alibaba") -> Channel:
    return Channel.objects.create(
        provider=Provider.objects.get(slug=provider), model=Model.objects.get(name=model),
        base_url="http://127.0.0.1:1/v1", upstream_model=model,
    )  # fmt: skip


def beat(channels: dict[int, list[int]], seconds_ago: float = 0) -> None:
    Heartbeat.objects.create(
        process=uuid.uuid4(),
        at=timezone.now() - timedelta(seconds=seconds_ago),
        facts={"parts": {}, "channels": {str(pk): one for pk, one in channels.items()}},
    )


def providers_now() -> dict[str, State]:
    return {one.component: one.state for one in probes.providers(heartbeats.fresh())}


def probe(minutes: int = 0, **states: State) -> None:
    """One minute's probe: the core is up, but for what is said otherwise."""
    found = dict.fromkeys(CORE, State.UP) | states
    at = timezone.now() + timedelta(minutes=minutes)
    history.note([Finding(name, state) for name, state in found.items()], at)


# --- probing ------------------------------------------------------------------------------------


def test_the_gateway_is_asked_where_customers_reach_it(settings, stack) -> None:
    settings.STATUS_PROBE_URL = stack.base_url
    found = probes.api()
    assert (found.component, found.state) == ("api", State.UP)
    assert found.milliseconds is not None


def test_a_gateway_that_does_not_answer_is_down(settings) -> None:
    settings.STATUS_PROBE_URL = "http://127.0.0.1:1"
    assert probes.api() == Finding("api", State.DOWN, note="no answer")


def test_stores_that_answer_are_up_and_those_that_do_not_are_down(settings) -> None:
    settings.STATUS_PROBE_URL = "http://127.0.0.1:1"
    found = {one.component: one.state for one in probes.look()}
    assert (found["database"], found["valkey"]) == (State.UP, State.UP)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    found = {one.component: one.state for one in probes.look()}
    assert (found["database"], found["valkey"]) == (State.UP, State.DOWN)


@pytest.mark.parametrize(
    ("failures", "state"),
    [([0, 0], State.UP), ([1, 0], State.DEGRADED), ([5, 0], State.DEGRADED), ([3, 7], State.DOWN)],
)
def test_a_provider_is_as_its_channels_are_in_every_gateway(failures, state) -> None:
    one = channel()
    for count in failures:
        beat({one.pk: [20, count]})
    assert providers_now() == {"provider:alibaba": state}


def test_a_provider_with_one_channel_left_is_degraded_and_others_are_not_judged() -> None:
    broken, whole, other = channel(), channel("qwen-max"), channel("deepseek-chat", "deepseek")
    beat({broken.pk: [9, 9], whole.pk: [9, 0], other.pk: [0, 0]})
    assert providers_now() == {"provider:alibaba": State.DEGRADED}


def test_a_gateway_that_is_gone_is_not_heard() -> None:
    beat({channel().pk: [9, 9]}, seconds_ago=120)
    assert providers_now() == {}


@pytest.mark.parametrize(
    ("served", "failed", "state"),
    [(100, 0, State.UP), (100, 1, State.UP), (90, 10, State.DEGRADED), (1, 2, State.DEGRADED),
     (3, 5, State.DOWN)],
)  # fmt: skip
def test_a_model_is_judged_by_its_requests_since_the_last_probes(served, failed, state) -> None:
    def count(measure: str, requests: int) -> None:
        hour = timezone.now().replace(minute=0, second=0, microsecond=0)
        facts = {"model": "qwen-plus", "hour": hour, "measure": measure, "bucket": 0}
        row, _ = ModelHour.objects.get_or_create(**facts, defaults={"requests": 0})
        ModelHour.objects.filter(pk=row.pk).update(requests=row.requests + requests)

    count(Measure.FAILED, 5_000)  # an hour ago, for all one knows
    assert probes.models(1_000.0) == []
    count(Measure.SERVED, served)
    count(Measure.FAILED, failed)
    assert [(one.component, one.state) for one in probes.models(1_060.0)] == [
        ("model:qwen-plus", state)
    ]
    assert probes.models(2_000.0) == []  # the last sums are too old to compare with


# --- remembering --------------------------------------------------------------------------------


@time_machine.travel(NOON, tick=False)
def test_a_minute_is_counted_once_however_often_it_is_probed() -> None:
    probe()
    probe(api=State.DOWN)
    day = ProbeDay.objects.get(component="api")
    assert (day.up, day.degraded, day.down) == (1, 0, 0)
    assert ProbeMinute.objects.filter(component="api").count() == 1


@time_machine.travel(NOON, tick=False)
def test_an_incident_lasts_from_the_first_bad_minute_to_the_next_good_one() -> None:
    for minute, state in enumerate(
        (State.UP, State.DEGRADED, State.DOWN, State.DEGRADED, State.UP)
    ):
        probe(minute, database=state)
    one = Incident.objects.get()
    assert (one.component, one.state) == ("database", State.DOWN)
    assert one.started_at == timezone.now() + timedelta(minutes=1)
    assert one.ended_at == timezone.now() + timedelta(minutes=4)


@time_machine.travel(NOON, tick=False)
def test_what_fails_again_at_once_is_the_same_incident_and_later_another() -> None:
    for minute, state in ((0, State.DOWN), (1, State.UP), (2, State.DOWN), (3, State.UP)):
        probe(minute, valkey=state)
    assert Incident.objects.count() == 1
    probe(60, valkey=State.DOWN)
    assert Incident.objects.filter(ended_at=None).count() == 1
    assert Incident.objects.count() == 2


@time_machine.travel(NOON, tick=False)
def test_what_is_found_while_the_database_is_away_is_written_once_it_is_back() -> None:
    with mock.patch.object(history, "_write", side_effect=OperationalError("away")):
        probe(0, database=State.DOWN)
        probe(1, database=State.DOWN)
    assert not ProbeMinute.objects.exists()
    probe(2)
    minutes = ProbeMinute.objects.filter(component="database").order_by("minute")
    assert [row.state for row in minutes] == [State.DOWN, State.DOWN, State.UP]
    assert Incident.objects.get().ended_at == timezone.now() + timedelta(minutes=2)
    probe(3)
    assert ProbeMinute.objects.filter(component="database").count() == 4


def test_history_is_bounded() -> None:
    with time_machine.travel("2026-07-01T00:00:00+00:00"):
        probe(api=State.DOWN)
        probe(1)
    with time_machine.travel("2026-11-01T00:00:00+00:00"):
        probe()
    assert ProbeMinute.objects.filter(component="api").count() == 1
    assert ProbeDay.objects.filter(component="api").count() == 1
    assert not Incident.objects.exists()


# --- telling ------------------------------------------------------------------------------------


def test_without_a_probe_nothing_is_claimed(client) -> None:
    page = client.get("/status")
    assert "No recent data" in page.content.decode()
    assert "badge-ok" not in page.content.decode()
    told = client.get("/status.json").json()
    assert {told["status"], *(one["status"] for one in told["components"])} == {"unknown"}


def test_an_old_probe_is_no_recent_one(client) -> None:
    probe(-10)
    assert client.get("/status.json").json()["status"] == "unknown"
    assert "badge-ok" not in client.get("/status").content.decode()


def test_all_up_is_said_only_where_the_whole_service_was_probed(client) -> None:
    probe()
    told = client.get("/status.json").json()
    assert told["status"] == "up"
    assert "Everything we probe is working" in client.get("/status").content.decode()
    ProbeMinute.objects.filter(component="api").delete()
    assert client.get("/status.json").json()["status"] == "unknown"


@pytest.mark.parametrize(
    ("found", "overall"),
    [({"api": State.DOWN}, "down"), ({"valkey": State.DEGRADED}, "degraded"),
     ({"model:qwen-max": State.DOWN}, "degraded")],
)  # fmt: skip
def test_a_component_in_trouble_shows_with_its_incident(client, found, overall) -> None:
    probe(**found)
    told = client.get("/status.json").json()
    [(name, state)] = found.items()
    assert told["status"] == overall
    component = next(one for one in told["components"] if one["id"] == name)
    assert component["status"] == status._WORDS[state]
    assert [one["component"] for one in told["incidents"]] == [name]
    page = client.get("/status").content.decode()
    assert "Going on" in page
    assert ("badge-bad" in page) == (state is State.DOWN)


def test_the_page_has_ninety_days_of_each_component(client, django_assert_max_num_queries) -> None:
    probe()
    with django_assert_max_num_queries(8):
        page = client.get("/status").content.decode()
    components = len(client.get("/status.json").json()["components"])
    assert page.count('<i class="bar-') == components * 90


def test_a_database_that_is_away_is_told_by_the_page_itself(client) -> None:
    with mock.patch.object(history, "now_of", side_effect=OperationalError("away")):
        page = client.get("/status")
        told = client.get("/status.json")
    assert (page.status_code, told.status_code) == (503, 503)
    assert "The database does not answer." in page.content.decode()
    assert told.json()["status"] == "down"


def test_the_gateways_heartbeat_says_what_its_channels_did(wire: Wire) -> None:
    """Over the wire: a failing channel shows in the next beat."""
    wire.chat(refused(503, "no"), model="qwen-max")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with psycopg.connect(wire.stack.database_url) as connection:
            rows = connection.execute("SELECT facts FROM gateway_heartbeat").fetchall()
        if any(failures for (facts,) in rows for _, failures in facts["channels"].values()):
            break
        time.sleep(0.3)
    else:
        pytest.fail("no heartbeat told of the failure")
    assert wire.chat(model="qwen-max").status_code == 200
