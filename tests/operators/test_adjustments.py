"""Money moved by hand: alone up to a bound, above it with a second person, and once."""

import threading
import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from accounts.models import AuditEntry, User
from billing import adjustments, ledger, proof
from billing.models import AdjustmentRequest, AdjustmentState, Transfer, TransferKind
from tests import factories, foundation  # noqa: F401  (lays plans and accounts after a flush)
from tests.operators.conftest import allow, signed_in

USD = factories.USD
pytestmark = pytest.mark.django_db


def balance(organization) -> int:
    return ledger.open_wallet(organization).balance_nanos


def ask(organization, by, usd: int, **options) -> AdjustmentRequest:
    return adjustments.ask(
        organization, usd * USD, reason="Goodwill", by=by,
        form_id=options.get("form_id") or uuid.uuid4(),
    )  # fmt: skip


def post(client, row, **fields):
    form = {"direction": "credit", "amount": "10", "reason": "Goodwill", "form_id": uuid.uuid4()}
    return client.post(
        reverse("admin:accounts_organization_adjust", args=[row.pk]), form | fields, follow=True
    )


def decide(client, request, decision: str):
    url = reverse("admin:billing_adjustmentrequest_decide", args=[request.pk])
    return client.post(url, {"decision": decision}, follow=True)


def test_a_small_credit_is_moved_at_once_with_its_reason_and_an_entry(olga, cast):
    before = balance(cast.organization)
    post(signed_in(olga), cast.organization, amount="12.50")
    assert balance(cast.organization) - before == 12_500_000_000
    transfer = Transfer.objects.get(kind=TransferKind.ADJUSTMENT)
    assert transfer.reason == "Goodwill"
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_email) == ("wallet.adjusted", olga.email)
    assert entry.details["amount_nanos"] == 12_500_000_000


def test_a_debit_takes_no_more_than_is_there(olga, cast):
    client = signed_in(olga)
    post(client, cast.organization, direction="debit", amount="0.40")
    assert balance(cast.organization) == 600_000_000
    answer = post(client, cast.organization, direction="debit", amount="0.61")
    assert "$0.60 are available" in answer.content.decode()
    assert balance(cast.organization) == 600_000_000
    assert AdjustmentRequest.objects.count() == 1


@pytest.mark.parametrize("wrong", [{"amount": "-5"}, {"amount": "0"}, {"amount": "1e3"},
                                   {"reason": " "}, {"direction": "sideways"},
                                   {"form_id": "x"}])  # fmt: skip
def test_a_form_that_says_nothing_sensible_moves_nothing(olga, cast, wrong):
    before = balance(cast.organization)
    assert post(signed_in(olga), cast.organization, **wrong).status_code == 200
    assert balance(cast.organization) == before
    assert not AdjustmentRequest.objects.exists()


def test_the_same_form_sent_twice_moves_money_once(olga, cast):
    client, same = signed_in(olga), uuid.uuid4()
    for _ in range(2):
        post(client, cast.organization, form_id=same)
    assert balance(cast.organization) == 11 * USD


def test_a_large_one_waits_for_another_operator_who_approves_it(olga, otto, cast):
    post(signed_in(olga), cast.organization, amount="100.01")
    request = AdjustmentRequest.objects.get()
    assert (request.state, balance(cast.organization)) == (AdjustmentState.WAITING, USD)
    answer = decide(signed_in(olga), request, "approve")
    assert "Another operator has to agree" in answer.content.decode()
    assert balance(cast.organization) == USD
    decide(signed_in(otto), request, "approve")
    request.refresh_from_db()
    assert (request.state, request.decided_by) == (AdjustmentState.POSTED, otto)
    assert balance(cast.organization) == 101_010_000_000
    decide(signed_in(otto), request, "approve")
    assert balance(cast.organization) == 101_010_000_000
    said = AuditEntry.objects.filter(organization=cast.organization).order_by("id")
    assert list(said.values_list("action", "actor_email"))[-2:] == [
        ("adjustment.requested", olga.email), ("adjustment.approved", otto.email),
    ]  # fmt: skip
    assert all(one.is_ok for one in proof.prove())


def test_many_small_ones_in_a_day_are_a_large_one(olga, otto, cast):
    for _ in range(3):
        ask(cast.organization, olga, 30)
    assert ask(cast.organization, olga, 30).state == AdjustmentState.WAITING
    assert ask(cast.organization, olga, -10).state == AdjustmentState.POSTED
    assert ask(cast.organization, otto, 30).state == AdjustmentState.POSTED
    assert ask(cast.outside, olga, 30).state == AdjustmentState.POSTED
    assert balance(cast.organization) == (1 + 90 - 10 + 30) * USD


def test_the_bound_is_a_setting(olga, cast, settings):
    settings.ADJUSTMENT_ALONE_NANOS = 0
    assert ask(cast.organization, olga, 1).state == AdjustmentState.WAITING


def test_a_refused_one_moves_nothing_ever(olga, otto, cast):
    request = ask(cast.organization, olga, 500)
    decide(signed_in(otto), request, "refuse")
    decide(signed_in(otto), request, "approve")
    request.refresh_from_db()
    assert (request.state, balance(cast.organization)) == (AdjustmentState.REFUSED, USD)


def test_whoever_asked_may_take_it_back(olga, cast):
    request = ask(cast.organization, olga, 500)
    decide(signed_in(olga), request, "refuse")
    request.refresh_from_db()
    assert (request.state, request.decided_by) == (AdjustmentState.REFUSED, None)


def test_a_debit_the_wallet_cannot_pay_goes_on_waiting(olga, otto, cast):
    request = ask(cast.organization, olga, -500)
    answer = decide(signed_in(otto), request, "approve")
    assert "it still waits" in answer.content.decode()
    request.refresh_from_db()
    assert (request.state, request.decided_by) == (AdjustmentState.WAITING, None)


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}], ids=str)
def test_an_asker_or_an_approver_who_was_demoted_meanwhile_is_no_second_person(
    olga, otto, cast, change
):
    request = ask(cast.organization, olga, 500)
    User.objects.filter(pk=olga.pk).update(**change)
    with pytest.raises(adjustments.NotDecidable, match="no operator any more"):
        adjustments.approve(request, by=otto)
    User.objects.filter(pk=olga.pk).update(is_staff=True, is_active=True)
    User.objects.filter(pk=otto.pk).update(**change)
    with pytest.raises(adjustments.NotDecidable, match="no operator any more"):
        adjustments.approve(request, by=otto)
    request.refresh_from_db()
    assert (request.state, balance(cast.organization)) == (AdjustmentState.WAITING, USD)
    User.objects.filter(pk=otto.pk).update(is_staff=True, is_active=True)
    adjustments.approve(request, by=otto)
    assert balance(cast.organization) == 501 * USD


def test_what_somebody_asked_for_who_is_gone_is_refused_and_not_approved(olga, otto, cast):
    request = ask(cast.organization, olga, 500)
    User.objects.filter(pk=olga.pk).delete()
    with pytest.raises(adjustments.NotDecidable):
        adjustments.approve(request, by=otto)
    adjustments.refuse(request, by=otto)
    assert balance(cast.organization) == USD


def test_the_database_refuses_somebody_who_approves_their_own(olga, cast):
    request = ask(cast.organization, olga, 500)
    with pytest.raises(IntegrityError), transaction.atomic():
        AdjustmentRequest.objects.filter(pk=request.pk).update(decided_by=olga)


def test_deciding_and_asking_want_their_own_permissions(stan, olga, cast):
    request = ask(cast.organization, olga, 500)
    allow(stan, "change_organization", "view_adjustmentrequest")
    client = signed_in(stan)
    assert post(client, cast.organization).status_code == 403
    assert decide(client, request, "approve").status_code == 403
    allow(stan, "change_adjustmentrequest")
    assert decide(signed_in(stan), request, "approve").status_code == 200
    assert balance(cast.organization) == 501 * USD


def test_an_adjustment_is_looked_at_and_never_edited(olga, cast):
    request = ask(cast.organization, olga, 5)
    client = signed_in(olga)
    url = reverse("admin:billing_adjustmentrequest_change", args=[request.pk])
    assert "+$5.00" in client.get(url).content.decode()
    client.post(url, {"amount_nanos": "1", "state": "waiting", "reason": "x"})
    request.refresh_from_db()
    assert (request.amount_nanos, request.reason) == (5 * USD, "Goodwill")


@pytest.mark.django_db(transaction=True)
def test_many_approvals_at_once_move_it_once():
    olga = User.objects.create_superuser("olga@example.com", "secret")
    deciders = [User.objects.create_superuser(f"o{n}@example.com", "s") for n in range(6)]
    organization = factories.OrganizationFactory.create()
    before = balance(organization)
    request = ask(organization, olga, 500)
    outcomes: list[str] = []
    gate = threading.Barrier(6)

    def approve(by: User) -> None:
        try:
            gate.wait(20)
            adjustments.approve(AdjustmentRequest.objects.get(pk=request.pk), by=by)
            outcomes.append("moved")
        except adjustments.NotDecidable:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=approve, args=[one]) for one in deciders]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert sorted(outcomes) == ["moved"] + ["refused"] * 5
    assert balance(organization) - before == 500 * USD


@pytest.mark.django_db(transaction=True)
def test_many_small_ones_at_once_stay_within_the_bound():
    olga = User.objects.create_superuser("olga@example.com", "secret")
    organization = factories.OrganizationFactory.create()
    before = balance(organization)
    gate = threading.Barrier(6)

    def give() -> None:
        try:
            gate.wait(20)
            ask(organization, olga, 40)
        finally:
            connection.close()

    threads = [threading.Thread(target=give) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert balance(organization) - before == 80 * USD
    assert AdjustmentRequest.objects.filter(state=AdjustmentState.WAITING).count() == 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["asker", "approver"])
def test_a_demotion_and_an_approval_at_once_leave_two_operators_or_nothing_moved(who):
    olga = User.objects.create_superuser("olga@example.com", "secret")
    otto = User.objects.create_superuser("otto@example.com", "secret")
    organization = factories.OrganizationFactory.create()
    before = balance(organization)
    request = ask(organization, olga, 500)
    demoted = olga if who == "asker" else otto
    outcomes: list[str] = []

    def approve() -> None:
        try:
            adjustments.approve(AdjustmentRequest.objects.get(pk=request.pk), by=otto)
            outcomes.append("moved")
        except adjustments.NotDecidable:
            outcomes.append("refused")
        finally:
            connection.close()

    # The demotion is under way when the approval comes, and commits while that waits for it.
    with transaction.atomic():
        User.objects.filter(pk=demoted.pk).update(is_staff=False)
        thread = threading.Thread(target=approve)
        thread.start()
        thread.join(0.5)
        assert outcomes == []
    thread.join(60)
    assert outcomes == ["refused"]
    assert balance(organization) == before


@pytest.mark.django_db(transaction=True)
def test_the_asker_among_many_approvers_at_once_is_never_the_one_who_moves_it():
    olga = User.objects.create_superuser("olga@example.com", "secret")
    otto = User.objects.create_superuser("otto@example.com", "secret")
    organization = factories.OrganizationFactory.create()
    request = ask(organization, olga, 500)
    gate = threading.Barrier(4)

    def approve(by: User) -> None:
        try:
            gate.wait(20)
            adjustments.approve(AdjustmentRequest.objects.get(pk=request.pk), by=by)
        except adjustments.NotDecidable:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=approve, args=[one]) for one in (olga, olga, olga, otto)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    request.refresh_from_db()
    assert (request.state, request.decided_by) == (AdjustmentState.POSTED, otto)
    assert Transfer.objects.filter(kind=TransferKind.ADJUSTMENT).count() == 1
