"""At least once, one at a time, later and later, and never for one receiver at another's cost."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
import time_machine
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from accounts import audit, mail, tasks
from accounts.models import AuditEntry, Membership, Role
from accounts.webhooks import deliveries, endpoints, events, rounds, transport
from accounts.webhooks.models import (
    DeliveryState,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from tests import factories
from tests.receiver import Answer, Receiver, ids

pytestmark = pytest.mark.django_db
START = "2026-11-20T12:00:00+00:00"


def happen(organization, **data) -> WebhookEvent:
    event = events.emit(organization, "plan.changed", data or {"plan": {"id": "pro"}})
    assert event is not None
    return event


def signature(secret: str, got) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def test_an_event_arrives_signed_and_is_written_down(organization, made, receiver):
    event = happen(organization)
    assert tasks.deliver_webhooks() == 1
    [got] = receiver.got
    told = json.loads(got.body)
    assert told == {
        "id": event.wire_id,
        "type": "plan.changed",
        "api_version": "2026-11-01",
        "timestamp": events.moment(event.created_at),
        "organization": "acme-robotics",
        "data": {"plan": {"id": "pro"}},
    }
    assert got.headers["webhook-id"] == event.wire_id
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 30
    assert got.headers["webhook-signature"] == signature(made.secret, got)
    assert got.headers["content-type"] == "application/json"
    delivery = event.deliveries.get()
    assert (delivery.state, delivery.due_at, delivery.attempts) == ("delivered", None, 1)
    attempt = delivery.log.get()
    assert (attempt.status, attempt.error, attempt.response) == (200, "", "ok")
    assert rounds.run() == 0
    assert len(receiver.got) == 1


def test_what_is_rolled_back_is_told_nobody(organization, endpoint, receiver):
    with pytest.raises(RuntimeError), transaction.atomic():
        happen(organization)
        raise RuntimeError
    assert rounds.run() == 0
    assert not WebhookEvent.objects.exists()


def test_retries_come_later_and_later_for_three_days_and_then_end(organization, endpoint, receiver):
    receiver.answers = [Answer(500, body=b"sorry")] * deliveries.TRIES_MAX
    with time_machine.travel(START, tick=False) as clock:
        event = happen(organization)
        for number, wait in enumerate((*deliveries.WAITS, None), 1):
            assert rounds.run() == 1
            assert rounds.run() == 0, "not before its time"
            delivery = event.deliveries.get()
            assert delivery.attempts == number
            if wait is None:
                break
            assert delivery.state == DeliveryState.WAITING
            assert delivery.due_at is not None
            assert wait <= delivery.due_at - timezone.now() <= wait * 1.1
            clock.move_to(delivery.due_at - timedelta(seconds=1))
            assert rounds.run() == 0
            clock.move_to(delivery.due_at)
        assert (delivery.state, delivery.due_at) == (DeliveryState.FAILED, None)
        clock.shift(timedelta(days=3))
        assert rounds.run() == 0
    assert len(receiver.got) == 10
    assert set(ids(receiver.got)) == {event.wire_id}
    assert len({got.body for got in receiver.got}) == 1
    stamps = [int(got.headers["webhook-timestamp"]) for got in receiver.got]
    assert timedelta(days=3) < timedelta(seconds=stamps[-1] - stamps[0]) < timedelta(days=4)
    assert [one.response for one in delivery.log.all()] == ["sorry"] * 10


def test_a_failure_that_ends_is_forgotten(organization, endpoint, receiver):
    receiver.answers = [Answer(503)]
    event = happen(organization)
    rounds.run()
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    with time_machine.travel(timezone.now() + timedelta(seconds=10)):
        assert rounds.run() == 1
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None
    assert event.deliveries.get().state == DeliveryState.DELIVERED


def test_an_endpoint_that_failed_for_five_days_is_switched_off_and_its_owners_told(
    organization, endpoint, receiver, mailoutbox
):
    admin = factories.UserFactory.create(email="adam@example.com")
    Membership.objects.create(organization=organization, user=admin, role=Role.ADMIN)
    viewer = factories.UserFactory.create(email="victor@example.com")
    Membership.objects.create(organization=organization, user=viewer, role=Role.VIEWER)
    receiver.answers = [Answer(500)] * 100
    with time_machine.travel(START, tick=False) as clock:
        for _ in range(5):
            happen(organization)
            rounds.run()
            endpoint.refresh_from_db()
            assert endpoint.is_enabled
            clock.shift(timedelta(days=1))
        happen(organization)
        rounds.run()
        endpoint.refresh_from_db()
        assert (endpoint.is_enabled, endpoint.disabled_because) == (False, "failing")
        sent = len(receiver.got)
        clock.shift(timedelta(days=1))
        assert rounds.run() == 0
        assert events.emit(organization, "plan.changed", {}) is None
        assert len(receiver.got) == sent
        mail.deliver()
        owner = organization.memberships.get(role=Role.OWNER).user.email
        assert sorted(one.to[0] for one in mailoutbox) == sorted([owner, "adam@example.com"])
        assert "switched off" in mailoutbox[0].subject
        entry = AuditEntry.objects.get(action="webhook.disabled")
        assert entry.details["reason"] == "failing"
        receiver.answers = []
        endpoints.switch(endpoint, on=True)
        assert rounds.run() > 0, "what waited goes out"


def test_410_ends_it_at_once(organization, endpoint, receiver):
    receiver.answers = [Answer(410)]
    event = happen(organization)
    rounds.run()
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.disabled_because) == (False, "gone")
    assert event.deliveries.get().state == DeliveryState.FAILED


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_any_other_answer_is_tried_again(organization, endpoint, receiver, status):
    receiver.answers = [Answer(status, {"Location": "http://127.0.0.1/"})]
    event = happen(organization)
    rounds.run()
    delivery = event.deliveries.get()
    assert (delivery.state, delivery.last_status) == (DeliveryState.WAITING, status)
    assert delivery.due_at is not None and delivery.due_at > timezone.now()
    assert len(receiver.got) == 1


def test_each_type_goes_to_those_who_chose_it_and_to_nobody_else(organization, receiver):
    wants = endpoints.create(organization, f"{receiver.url}/wants", ["plan.changed"]).row
    endpoints.create(organization, f"{receiver.url}/other", ["key.created"])
    off = endpoints.create(organization, f"{receiver.url}/off", ["plan.changed"]).row
    endpoints.switch(off, on=False)
    outside = factories.OrganizationFactory.create(name="Charlie's")
    endpoints.create(outside, f"{receiver.url}/charlie", ["plan.changed"])
    event = happen(organization)
    assert [one.endpoint for one in event.deliveries.all()] == [wants]
    rounds.run()
    assert [got.path for got in receiver.got] == ["/hooks/wants"]
    assert events.emit(organization, "balance.low", {}) is None
    with pytest.raises(ValueError, match="not one of"):
        events.emit(organization, "nothing.known", {})


def test_a_worker_killed_between_sending_and_recording_has_it_sent_again(
    organization, endpoint, receiver
):
    event = happen(organization)
    [delivery] = deliveries.claim(10)
    deliveries.send(delivery)  # and then the worker dies
    assert deliveries.claim(10) == []
    assert rounds.run() == 0
    with time_machine.travel(timezone.now() + deliveries.CLAIM + timedelta(seconds=1)):
        assert rounds.run() == 1
    assert ids(receiver.got) == [event.wire_id] * 2
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)
    assert [one.number for one in delivery.log.all()] == [2]


def test_a_worker_that_comes_late_with_a_failure_takes_nothing_back(
    organization, endpoint, receiver
):
    receiver.answers = [Answer(500)]
    happen(organization)
    [late] = deliveries.claim(10)
    failed = deliveries.send(late)
    with time_machine.travel(timezone.now() + deliveries.CLAIM + timedelta(seconds=1)):
        assert rounds.run() == 1
        deliveries.record(late, failed)
    late.refresh_from_db()
    assert late.state == DeliveryState.DELIVERED
    assert late.log.count() == 2


WORKER = """
import django
django.setup()
from django.conf import settings
settings.WEBHOOK_LOCAL_NETWORKS = ["127.0.0.0/8"]
settings.DATABASES["default"]["NAME"] = {name!r}
from accounts.webhooks import rounds
rounds.run()
"""


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_while_the_receiver_answers_leaves_nothing_stuck(receiver):
    """A process of its own, killed with SIGKILL: its lock goes with it, its claim runs out."""
    organization = factories.OrganizationFactory.create(name="Acme Robotics")
    endpoints.create(organization, receiver.url, list(events.TYPES))
    event = happen(organization)
    receiver.answers = [Answer(hang=True)]
    script = WORKER.format(name=connection.settings_dict["NAME"])
    worker = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings.test"},
    )
    try:
        assert len(receiver.wait_for(1, seconds=60)) == 1
    finally:
        worker.kill()
        worker.wait(30)
    happen(organization)
    assert rounds.run() == 1, "another worker takes the next event, and not the claimed one"
    delivery = event.deliveries.get()
    assert (delivery.state, delivery.log.count()) == (DeliveryState.WAITING, 0)
    with time_machine.travel(timezone.now() + deliveries.CLAIM + timedelta(seconds=1)):
        assert rounds.run() == 1
    assert ids(receiver.got).count(event.wire_id) == 2
    assert not WebhookDelivery.objects.exclude(state=DeliveryState.DELIVERED).exists()


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_send_each_event_once(receiver):
    organization = factories.OrganizationFactory.create(name="Acme Robotics")
    endpoints.create(organization, receiver.url, list(events.TYPES))
    for n in range(40):
        happen(organization, n=n)
    sent: list[int] = []

    def work() -> None:
        try:
            for _ in range(60):
                for delivery in deliveries.claim(3):
                    deliveries.record(delivery, deliveries.send(delivery))
                    sent.append(delivery.pk)
                time.sleep(0.005)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(sent) == len(set(sent)) == 40
    assert len(set(ids(receiver.got))) == len(receiver.got) == 40
    assert not WebhookDelivery.objects.exclude(state=DeliveryState.DELIVERED).exists()


@pytest.mark.django_db(transaction=True)
def test_one_round_at_a_time_runs_in_the_installation(receiver):
    organization = factories.OrganizationFactory.create(name="Acme Robotics")
    endpoints.create(organization, receiver.url, list(events.TYPES))
    receiver.answers = [Answer(wait_seconds=2)]
    happen(organization)
    made: list[int] = []

    def work() -> None:
        try:
            made.append(rounds.run())
        finally:
            connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    receiver.wait_for(1)
    happen(organization)
    assert rounds.run() == 0, "another worker is at it"
    worker.join(30)
    assert made == [2], "and took up what came meanwhile"
    assert rounds.run() == 0
    happen(organization)
    assert rounds.run() == 1, "the lock was given back"


def test_a_slow_endpoint_delays_nobody_else_and_has_few_places(organization, settings, receiver):
    other = factories.OrganizationFactory.create(name="Beta")
    with Receiver() as slow:
        slow.answers = [Answer(wait_seconds=4)] * 20
        endpoints.create(organization, slow.url, list(events.TYPES))
        endpoints.create(other, receiver.url, list(events.TYPES))
        for _ in range(12):
            happen(organization)
        for _ in range(6):
            happen(other)
        began = time.monotonic()
        rounds.run(seconds=1.0)
        assert len(receiver.got) == 6
        assert max(got.at for got in receiver.got) - began < 3
        assert len(slow.got) == deliveries.AT_ONCE_EACH
        for delivery in WebhookDelivery.objects.filter(endpoint__organization=other):
            assert delivery.state == DeliveryState.DELIVERED


def test_failing_endpoints_share_a_part_of_the_places(organization, endpoint, receiver):
    WebhookEndpoint.objects.update(failing_since=timezone.now())
    happen(organization)
    assert deliveries.claim(10) == []
    assert deliveries.claim(0, failing=True) == []
    assert len(deliveries.claim(10, failing=True)) == 1


def test_no_transaction_is_open_while_it_is_sent(organization, endpoint, receiver, monkeypatch):
    happen(organization)
    threads: list[int] = []

    def post(*_):
        threads.append(threading.get_ident())
        return transport.Outcome(200, "", "", 1)

    monkeypatch.setattr(transport, "post", post)
    rounds.run()
    assert threads and threading.get_ident() not in threads


def test_sending_again_keeps_the_id_and_begins_the_schedule_anew(organization, endpoint, receiver):
    event = happen(organization)
    rounds.run()
    delivery = event.deliveries.get()
    deliveries.again(delivery)
    receiver.answers = [Answer(500)]
    assert rounds.run() == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.attempts) == (DeliveryState.WAITING, 1, 2)
    assert ids(receiver.got) == [event.wire_id] * 2
    WebhookDelivery.objects.update(claimed_until=timezone.now() + timedelta(seconds=30))
    with pytest.raises(deliveries.NotNow):
        deliveries.again(delivery)
    WebhookDelivery.objects.update(claimed_until=None, attempts=deliveries.ATTEMPTS_MAX)
    with pytest.raises(deliveries.NotNow):
        deliveries.again(delivery)
    WebhookDelivery.objects.update(attempts=1)
    endpoints.switch(endpoint, on=False)
    with pytest.raises(deliveries.NotNow):
        deliveries.again(delivery)


def test_a_mistake_of_ours_with_one_answer_costs_the_others_nothing(
    organization, endpoint, receiver, monkeypatch
):
    plain = transport._exchange

    def stumble(target, headers, body, deadline):
        if b'"n":0' in body:
            raise RuntimeError
        return plain(target, headers, body, deadline)

    monkeypatch.setattr(transport, "_exchange", stumble)
    for n in range(3):
        happen(organization, n=n)
    assert rounds.run() == 3
    assert len(receiver.got) == 2
    assert WebhookAttempt.objects.get(status=None).error == "answer"


def test_an_endpoint_far_behind_is_told_nothing_more(organization, endpoint, monkeypatch):
    monkeypatch.setattr(events, "WAITING_MAX", 3)
    told = [events.emit(organization, "plan.changed", {}) is not None for _ in range(5)]
    assert told == [True, True, True, False, False]


def test_an_endpoint_deleted_while_it_is_called_leaves_nothing(organization, endpoint, receiver):
    happen(organization)
    [delivery] = deliveries.claim(10)
    sent = deliveries.send(delivery)
    endpoints.delete(endpoint)
    deliveries.record(delivery, sent)
    assert not WebhookDelivery.objects.exists()
    assert not WebhookAttempt.objects.exists()


def test_events_are_never_changed_and_go_after_thirty_days(organization, made, receiver):
    event = happen(organization)
    rounds.run()
    with pytest.raises(IntegrityError, match="never edited"), transaction.atomic():
        WebhookEvent.objects.filter(pk=event.pk).update(body="{}")
    endpoints.rotate(made.row, timedelta(hours=1))
    assert tasks.prune_webhooks() == 0
    with time_machine.travel(timezone.now() + timedelta(days=30, seconds=1)):
        young = happen(organization)
        assert tasks.prune_webhooks() == 1
        assert list(WebhookEvent.objects.all()) == [young]
        assert not WebhookAttempt.objects.exists()
        made.row.refresh_from_db()
        assert (made.row.old_secret, made.row.old_secret_until) == ("", None)


def test_what_is_due_is_found_by_its_index(organization, endpoint):
    """A backlog of one endpoint is not read whole."""
    happen(organization)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            f"EXPLAIN {deliveries._CLAIM}",
            {"now": timezone.now(), "until": timezone.now(), "each": 4, "limit": 10,
             "failing": False},
        )  # fmt: skip
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert plan.count("using delivery_due") == 3
    assert "Seq Scan on accounts_webhookdelivery" not in plan


def test_the_chain_of_the_audit_log_holds(organization, made):
    endpoints.rotate(made.row, timedelta(0))
    endpoints.switch(made.row, on=False)
    assert audit.verify().is_whole
    assert made.secret not in str(list(AuditEntry.objects.values_list("details", "target")))
