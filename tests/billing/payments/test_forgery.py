"""Every kind of event that Stripe tells: forged, replayed, reordered, doubled, also all at once."""

import itertools
import json
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from billing import proof
from billing.models import (
    Account,
    Dispute,
    EventState,
    OrderState,
    PaymentEvent,
    PaymentOrder,
    Transfer,
)
from billing.payments import events, gateways, orders
from tests.billing import scenes
from tests.billing.payments import till

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe")]

CENTS = 2_500
CENT = 10_000_000
_REFUND = {"id": "re_1", "payment_intent": "pi_1", "failure_reason": "expired_or_canceled_card"}

Build = Callable[[PaymentOrder], dict[str, Any]]
KINDS: dict[str, Build] = {
    "payment_intent.succeeded": till.succeeded,
    "payment_intent.payment_failed": lambda order: till.event(
        "payment_intent.payment_failed", till.intent(order, status="requires_payment_method")
    ),
    "payment_intent.canceled": lambda order: till.event(
        "payment_intent.canceled", till.intent(order, status="canceled")
    ),
    "charge.refunded": lambda order: till.refunded(700),
    "refund.failed": lambda order: till.event("refund.failed", _REFUND),
    "charge.dispute.created": lambda order: till.dispute("needs_response", 1_000),
    "charge.dispute.updated": lambda order: till.dispute("under_review", 1_000, "updated"),
    "charge.dispute.closed": lambda order: till.dispute("lost", 1_000, "closed"),
}
FORGERIES: dict[str, dict[str, Any]] = {
    "wrong secret": {"secret": "whsec_another_secret_than_ours"},
    "empty secret": {"secret": ""},
    "too old": {"age_seconds": 301},
    "no signature": {"header": ""},
}


def make_order(organization: Organization, payment_id: str = "pi_1") -> PaymentOrder:
    made = orders.place(organization, gateways.get("stripe"), CENTS)
    PaymentOrder.objects.filter(pk=made.pk).update(
        provider_id=payment_id, state=OrderState.PENDING, asked_at=timezone.now()
    )
    made.refresh_from_db()
    return made


@pytest.fixture
def order(organization: Organization) -> PaymentOrder:
    return make_order(organization)


def settle() -> None:
    """A worker's runs, until nothing waits that can be acted on."""
    for _ in range(4):
        PaymentEvent.objects.filter(state=EventState.WAITING).update(due_at=timezone.now())
        events.process_due()


def pay(client: Client, order: PaymentOrder) -> None:
    assert till.post(client, till.succeeded(order)).status_code == 204
    settle()


def state(order: PaymentOrder) -> tuple[Any, ...]:
    """Everything that an event may change."""
    order.refresh_from_db()
    order.organization.refresh_from_db()
    return (
        Account.objects.get(organization=order.organization).balance_nanos,
        order.state,
        order.refunded_minor,
        order.loss_nanos,
        order.organization.suspended_at is not None,
        sorted(Dispute.objects.values_list("provider_id", "state", "wallet_nanos")),
        sorted(Transfer.objects.values_list("kind", "amount_nanos")),
    )


def assert_proven() -> None:
    assert [(one.name, one.first) for one in proof.prove() if not one.is_ok] == []


@pytest.mark.parametrize("how", FORGERIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_event_of_any_kind_moves_nothing_and_is_not_kept(order, client, kind, how) -> None:
    if kind != "payment_intent.succeeded":
        pay(client, order)
    before, kept = state(order), PaymentEvent.objects.count()
    answer = till.post(client, KINDS[kind](order), **FORGERIES[how])
    settle()
    assert answer.status_code == 400
    assert (state(order), PaymentEvent.objects.count()) == (before, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_changed_under_its_signature_moves_nothing(order, client, kind) -> None:
    real = KINDS[kind](order)
    header = till.signature(json.dumps(real).encode())
    changed = real | {"id": "evt_changed"}
    before = state(order)
    assert till.post(client, changed, header=header).status_code == 400
    settle()
    assert state(order) == before
    assert not PaymentEvent.objects.exists()


@pytest.mark.parametrize(
    "changes", [{"account": "acct_of_somebody_else"}, {"livemode": True}], ids=str
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_another_account_or_mode_is_kept_and_moves_nothing(
    order, client, kind, changes
) -> None:
    if kind != "payment_intent.succeeded":
        pay(client, order)
    before = state(order)
    told = KINDS[kind](order) | changes | {"id": "evt_other"}
    assert till.post(client, told).status_code == 204
    settle()
    assert state(order) == before
    kept = PaymentEvent.objects.get(event_id="evt_other")
    assert (kept.kind, kept.state) == ("ignored", EventState.DONE)
    assert kind in kept.facts["what"]


def test_a_live_product_believes_live_events_and_no_test_events(order, client, settings) -> None:
    settings.STRIPE_SECRET_KEY = "sk_live_of_the_operator"
    assert till.post(client, till.succeeded(order) | {"livemode": False}).status_code == 204
    settle()
    assert state(order)[0] == 0
    real = till.succeeded(order) | {"livemode": True, "id": "evt_live"}
    assert till.post(client, real).status_code == 204
    settle()
    assert state(order)[0] == CENTS * CENT


@pytest.mark.parametrize(
    "kind", ["customer.created", "invoice.paid", "payment_intent.created", "x" * 300]
)
def test_an_event_that_means_nothing_here_is_answered_and_kept_once(order, client, kind) -> None:
    told = till.event(kind, {"id": "cus_1", "email": "payer@example.com"})
    before = state(order)
    for _ in range(3):
        assert till.post(client, told).status_code == 204
    settle()
    event = PaymentEvent.objects.get()
    assert (event.kind, event.state, event.note) == ("ignored", EventState.DONE, "")
    assert "payer@example.com" not in json.dumps(event.facts)
    assert state(order) == before


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_replayed_under_its_own_or_another_id_does_what_it_did_once(
    order, client, kind
) -> None:
    if kind != "payment_intent.succeeded":
        pay(client, order)
    told = KINDS[kind](order)
    till.post(client, told)
    settle()
    once = state(order)
    for n in range(3):
        assert till.post(client, told).status_code == 204
        assert till.post(client, told | {"id": f"evt_again_{n}"}).status_code == 204
        settle()
    assert state(order) == once
    assert_proven()


STORIES = {
    "won": ("won", (CENTS - 700) * CENT, False),
    "lost": ("lost", (CENTS - 700 - 1_000) * CENT, True),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ending", STORIES)
def test_a_whole_story_shuffled_with_repetitions_ends_the_same(order, client, ending, seed) -> None:
    word, balance, is_suspended = STORIES[ending]
    told = [
        KINDS["payment_intent.payment_failed"](order),
        KINDS["payment_intent.succeeded"](order),
        till.refunded(300),
        till.refunded(700),
        KINDS["charge.dispute.created"](order),
        KINDS["charge.dispute.updated"](order),
        till.dispute(word, 1_000, "closed"),
    ]
    twice = [one | {"id": f"evt_{n}"} for n, one in enumerate(itertools.chain(told, told))]
    random = Random(seed)
    random.shuffle(twice)
    for one in twice:
        assert till.post(client, one).status_code == 204
        if random.random() < 0.5:
            events.process_due()
    settle()
    found = state(order)
    assert (found[0], found[4]) == (balance, is_suspended)
    assert found[2:4] == (700, 0)
    assert not PaymentEvent.objects.exclude(state=EventState.DONE).exists()
    assert_proven()


@pytest.mark.django_db(transaction=True)
def test_every_kind_told_by_many_at_once_while_workers_run_happens_once() -> None:
    organization = scenes.make_organization(credit_nanos=0)
    order = make_order(organization)
    steps = [
        till.succeeded(order),
        till.refunded(700),
        till.dispute("needs_response", 1_000),
        till.dispute("won", 1_000, "closed"),
    ]
    together(steps)
    settle()
    assert state(order)[0] == (CENTS - 700) * CENT
    kinds = sorted(Transfer.objects.exclude(kind="welcome").values_list("kind", flat=True))
    assert kinds in (
        ["dispute", "dispute", "refund", "top_up"],
        ["refund", "top_up"],  # the end of the dispute was acted on before its beginning
    )
    assert_proven()


def together(steps: list[dict[str, Any]]) -> None:
    """Each event by four senders under one id and under one of the sender's own, while two workers
    act on what is there."""
    gate = threading.Barrier(6)
    answers: list[int] = []
    errors: list[BaseException] = []

    def send(who: int) -> None:
        client = Client()
        for told in Random(who).sample(steps, len(steps)):
            both = (told, told | {"id": f"{told['id']}_{who}"})
            answers.extend(till.post(client, one).status_code for one in both)

    def work() -> None:
        for _ in range(8):
            PaymentEvent.objects.filter(state=EventState.WAITING).update(due_at=timezone.now())
            events.process_due()

    def run(act: Callable[[], None]) -> None:
        try:
            gate.wait(20)
            act()
        except BaseException as error:  # told to the test
            errors.append(error)
        finally:
            connection.close()

    acts: list[Callable[[], None]] = [lambda who=who: send(who) for who in range(4)]  # type: ignore[misc]
    threads = [threading.Thread(target=run, args=[act]) for act in [*acts, work, work]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert answers == [204] * (4 * 2 * len(steps))
