"""A key's successor: the same limits, a time of overlap, and one line of descent."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey
from billing import budgets
from billing.models import KeyBudget
from tests import factories

pytestmark = pytest.mark.django_db
LIMITS: dict[str, Any] = {
    "allowed_models": ["qwen-turbo"],
    "allowed_addresses": ["203.0.113.0/24"],
    "spend_cap_day_nanos": 5 * factories.USD,
    "requests_per_minute": 60,
    "tokens_per_minute": 90_000,
}


@pytest.fixture
def old() -> ApiKey:
    return factories.key(factories.OrganizationFactory.create(), "Backend", **LIMITS).row


def test_rotate_makes_another_secret_with_the_same_limits(old: ApiKey) -> None:
    made = keys.rotate(old, timedelta(hours=1))
    assert keys.digest(made.secret) == made.row.digest != old.digest
    assert {name: getattr(made.row, name) for name in LIMITS} == LIMITS
    assert (made.row.name, made.row.project_id) == ("Backend", old.project_id)
    assert made.row.expires_at is None


def test_rotate_lets_the_old_key_live_for_the_overlap(old: ApiKey) -> None:
    before = timezone.now()
    keys.rotate(old, timedelta(hours=24))
    assert old.is_live and old.expires_at is not None
    assert before + timedelta(hours=24) <= old.expires_at <= timezone.now() + timedelta(hours=24)


def test_rotate_without_an_overlap_revokes_the_old_key(old: ApiKey) -> None:
    keys.rotate(old, timedelta(0))
    assert not old.is_live and old.revoked_at is not None


def test_rotate_never_prolongs_the_old_key_and_gives_the_new_one_as_long_a_life() -> None:
    ends_at = timezone.now() + timedelta(minutes=10)
    organization = factories.OrganizationFactory.create()
    old = factories.key(organization, "Short", expires_at=ends_at).row
    ApiKey.objects.filter(pk=old.pk).update(created_at=ends_at - timedelta(days=30))
    made = keys.rotate(old, timedelta(days=7))
    assert old.expires_at == ends_at
    assert made.row.expires_at is not None
    assert made.row.expires_at - made.row.created_at >= timedelta(days=30) - timedelta(seconds=5)


def test_rotate_refuses_a_second_successor_and_a_closed_key(old: ApiKey) -> None:
    made = keys.rotate(old, timedelta(hours=1))
    with pytest.raises(keys.NotRotatable):
        keys.rotate(old, timedelta(hours=1))
    keys.revoke(made.row)
    with pytest.raises(keys.NotRotatable):
        keys.rotate(made.row, timedelta(hours=1))
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=8)])
def test_rotate_refuses_an_overlap_out_of_bounds(old: ApiKey, overlap: timedelta) -> None:
    with pytest.raises(ValueError):
        keys.rotate(old, overlap)


def test_rotate_of_a_test_key_makes_a_test_key() -> None:
    old = factories.key(factories.OrganizationFactory.create(), "Try", test=True).row
    assert keys.rotate(old, timedelta(0)).secret.startswith(keys.TEST_PREFIX)


def test_rotate_carries_over_what_was_spent_of_the_caps(old: ApiKey) -> None:
    now = timezone.now().date()
    KeyBudget.objects.create(
        pk=old.pk, day=now, day_nanos=3, month=now.replace(day=1), month_nanos=70
    )
    made = keys.rotate(old, timedelta(hours=1))
    assert budgets.spent(made.row) == budgets.Spent(3, 70)


def test_a_budget_of_another_day_is_spent_by_nothing(old: ApiKey) -> None:
    past = timezone.now().date() - timedelta(days=40)
    KeyBudget.objects.create(
        pk=old.pk, day=past, day_nanos=3, month=past.replace(day=1), month_nanos=70
    )
    assert budgets.spent(old) == budgets.Spent(0, 0)


def test_the_lineage_is_the_same_from_each_of_its_keys_and_has_no_other(old: ApiKey) -> None:
    factories.key(old.organization, "Unrelated")
    second = keys.rotate(old, timedelta(hours=1)).row
    third = keys.rotate(second, timedelta(hours=1)).row
    line = [third.pk, second.pk, old.pk]
    for one in (old, second, third):
        assert [key.pk for key in keys.lineage(one)] == line


def test_change_leaves_a_closed_key_as_it_is(old: ApiKey) -> None:
    assert keys.change(old, name="Renamed", spend_cap_day_nanos=None)
    assert (old.name, old.spend_cap_day_nanos) == ("Renamed", None)
    keys.revoke(old)
    assert not keys.change(old, name="Again")
    assert old.name == "Renamed"
