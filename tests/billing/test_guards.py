"""What the database refuses, whoever asks (migration 0002), and what it tells (gateway 0001)."""

import uuid

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import keys, organizations
from accounts.models import ApiKey
from billing.models import Plan, Subscription, Transfer, UsageRecord
from providers import seed
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def record() -> UsageRecord:
    return scenes.use(scenes.make_organization())


@pytest.mark.parametrize(
    "change", ["amount_nanos = 1", "state = 'pending', amount_nanos = 0", "reason = 'x'"]
)
def test_a_posted_transfer_is_never_changed(record: UsageRecord, change: str) -> None:
    with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
        scenes.execute(f"UPDATE billing_transfer SET {change} WHERE id = %s", record.pk)


def test_no_transfer_is_deleted_not_even_a_pending_one(record: UsageRecord) -> None:
    pending = scenes.authorize(scenes.Request(record_organization(record)))
    for transfer_id in (record.pk, pending):
        with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
            Transfer.objects.filter(pk=transfer_id).delete()


def test_a_pending_transfer_may_be_extended_and_keeps_its_parties_and_amount(
    record: UsageRecord,
) -> None:
    pending = scenes.authorize(scenes.Request(record_organization(record)))
    assert Transfer.objects.filter(pk=pending).update(expires_at=timezone.now()) == 1
    for change in ({"held_nanos": 1}, {"debit_account_id": 1}, {"id": uuid.uuid4()}):
        with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
            Transfer.objects.filter(pk=pending).update(**change)


def test_a_usage_record_is_never_changed_or_deleted(record: UsageRecord) -> None:
    for statement in (
        "UPDATE billing_usagerecord SET charge_nanos = 0 WHERE id = %s",
        "UPDATE billing_usagerecord SET xid = 0, charge_nanos = 0 WHERE id = %s",
        "UPDATE billing_usagerecord SET xid = 5 WHERE id = %s",
        "DELETE FROM billing_usagerecord WHERE id = %s",
    ):
        with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
            scenes.execute(statement, record.pk)


def record_organization(record: UsageRecord):
    return Subscription.objects.get(organization_id=record.organization_id).organization


@pytest.mark.django_db(transaction=True)
def test_gateways_are_told_what_changed_and_not_of_a_keys_last_use() -> None:
    organization = scenes.make_organization()
    with scenes.second_connection() as listener:
        listener.autocommit = True
        listener.execute("LISTEN ttonk_changes")

        def heard() -> set[str]:
            listener.execute("SELECT 1")
            return {note.payload for note in listener.notifies(timeout=0.2)}

        key = keys.create(organization.projects.get(), "k").row
        assert heard() == {f"key:{key.digest}"}
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
        Subscription.objects.update(low_balance_mailed_at=timezone.now())
        assert heard() == set()
        keys.revoke(key)
        assert heard() == {f"key:{key.digest}"}
        for verb in (organizations.suspend, organizations.resume):
            verb(organization)
            assert heard() == {f"organization:{organization.pk}"}
        Subscription.objects.update(plan=Plan.objects.get(slug="pro"))
        assert heard() == {f"organization:{organization.pk}"}
        Plan.objects.filter(slug="pro").update(tokens_per_minute=5)
        assert heard() == {"principals"}
        seed.plant({})
        assert heard() == {"catalog"}
