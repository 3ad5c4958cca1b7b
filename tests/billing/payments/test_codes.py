"""Redeem codes: worth their amount once."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from billing import proof
from billing.models import Account, RedeemCode, Transfer, TransferKind
from billing.payments import codes
from tests.billing import scenes

pytestmark = pytest.mark.django_db

WORTH = 7 * scenes.USD


def balance(organization) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def test_a_code_is_redeemed_once_however_it_is_typed(organization):
    (code,) = codes.create(1, WORTH, batch="launch")
    transfer = codes.redeem(organization, f"  {code.lower().replace('-', ' ')} ")
    assert (transfer.kind, transfer.amount_nanos) == (TransferKind.CODE, WORTH)
    assert balance(organization) == WORTH
    with pytest.raises(codes.NotRedeemable):
        codes.redeem(organization, code)
    assert balance(organization) == WORTH
    assert all(one.is_ok for one in proof.prove())


def test_codes_are_stored_as_digests_only(organization):
    made = list(codes.create(3, WORTH, batch="launch"))
    stored = " ".join(str(row.__dict__) for row in RedeemCode.objects.all())
    for code in made:
        assert code not in stored
        assert code.replace("-", "") not in stored
    assert len(set(made)) == 3


@pytest.mark.parametrize("text", ["", "0000-0000-0000-0000", "x" * 5_000, "\0" * 16, "é" * 16])
def test_what_is_no_code_is_not_redeemable(organization, text):
    with pytest.raises(codes.NotRedeemable):
        codes.redeem(organization, text)


def test_an_expired_code_is_worth_nothing(organization):
    (code,) = codes.create(
        1, WORTH, batch="launch", expires_at=timezone.now() - timedelta(seconds=1)
    )
    with pytest.raises(codes.NotRedeemable):
        codes.redeem(organization, code)
    assert balance(organization) == 0


@pytest.mark.parametrize("count", [0, -1, codes.COUNT_MAX + 1])
def test_a_batch_has_bounds(count):
    with pytest.raises(ValueError):
        codes.create(count, WORTH, batch="launch")
    assert not RedeemCode.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_posts_of_one_code_at_once_credit_it_once():
    organization = scenes.make_organization(credit_nanos=0)
    (code,) = codes.create(1, WORTH, batch="launch")
    outcomes: list[str] = []
    gate = threading.Barrier(8)

    def post() -> None:
        try:
            gate.wait(20)
            codes.redeem(organization, code)
            outcomes.append("credited")
        except codes.NotRedeemable:
            outcomes.append("refused")
        finally:
            connection.close()

    posts = [threading.Thread(target=post) for _ in range(8)]
    for one in posts:
        one.start()
    for one in posts:
        one.join(60)
    assert sorted(outcomes) == ["credited"] + ["refused"] * 7
    assert balance(organization) == WORTH
    assert Transfer.objects.filter(kind=TransferKind.CODE).count() == 1
