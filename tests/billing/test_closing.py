"""Deleting an organization: what ends, what stays, and that no money goes without a word."""

from io import StringIO

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

from accounts import audit, members
from accounts.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from billing import closing, proof
from billing.models import Account, AutoTopUp, Transfer
from billing.payments import automatic
from tests import factories
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> factories.Cast:
    cache.clear()
    return factories.cast()


@pytest.fixture
def owner(client: Client, cast) -> Client:
    client.force_login(cast.alice)
    return client


def test_the_page_says_what_breaks_and_what_happens_with_the_money(owner, cast) -> None:
    factories.key(cast.organization)
    page = owner.get("/settings/delete").content.decode()
    assert "1 key is revoked" in page
    assert "4 members lose access" in page
    assert "$1.00 are left in the balance." in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "acme robotics", "leaves_balance": "on"}, "That is not its name."),
        ({"name": "", "leaves_balance": "on"}, "This field is required."),
        ({"name": "Acme Robotics"}, "There is money left: tick this to go on."),
    ],
)
def test_nothing_happens_without_the_typed_name_and_a_word_about_the_money(
    owner, cast, form, words
) -> None:
    factories.key(cast.organization)
    answer = owner.post("/settings/delete", form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert Organization.objects.get(pk=cast.organization.pk).deleted_at is None
    assert ApiKey.objects.get().is_live
    assert not AuditEntry.objects.filter(action="organization.deleted").exists()


def test_what_ends_and_what_stays(owner, cast) -> None:
    factories.key(cast.organization)
    scenes.use(cast.organization)
    owner.post("/settings/members/invite", {"email": "dora@example.com", "role": "viewer"})
    automatic.configure(
        cast.organization, threshold_nanos=1, amount_minor=1_000, cap_minor=10_000,
        provider="stripe", method_id="pm", method_label="card",
    )  # fmt: skip
    wallet = Account.objects.get(organization=cast.organization)
    balance, transfers = wallet.balance_nanos, Transfer.objects.count()
    answer = owner.post(
        "/settings/delete", {"name": "Acme Robotics", "leaves_balance": "on"}, follow=True
    )
    assert "Acme Robotics is deleted" in answer.content.decode()
    organization = Organization.objects.get(pk=cast.organization.pk)
    assert organization.deleted_at is not None and organization.suspended_at is not None
    assert not ApiKey.objects.live().filter(organization=organization).exists()
    assert not Membership.objects.filter(organization=organization).exists()
    assert not Invitation.objects.exists()
    assert not AutoTopUp.objects.get().is_on
    wallet.refresh_from_db()
    assert wallet.balance_nanos == balance > 0
    assert Transfer.objects.count() == transfers
    entry = AuditEntry.objects.get(action="organization.deleted")
    assert entry.details["balance_nanos"] == balance
    assert (entry.actor_email, entry.details["members"]) == ("alice@example.com", 4)
    assert [check.name for check in proof.prove() if not check.is_ok] == []
    assert audit.verify().is_whole


def test_an_empty_wallet_needs_no_word_about_money(owner) -> None:
    alice = factories.UserFactory.create(email="erin@example.com")
    organization = factories.OrganizationFactory.create(name="Empty", owner=alice, credit_nanos=0)
    closing.close(organization)
    assert Organization.objects.get(pk=organization.pk).deleted_at is not None


def test_a_deleted_organization_is_nobodys_and_does_not_come_back(cast) -> None:
    alice = Membership.objects.get(user=cast.alice)
    bob = Membership.objects.get(user=cast.bob)
    closing.close(cast.organization, leaves_balance=True)
    with pytest.raises(Organization.DoesNotExist):
        closing.close(cast.organization, leaves_balance=True)
    with pytest.raises(Organization.DoesNotExist):
        members.remove(bob, by=alice)
    call_command("resume_organization", cast.organization.slug, stdout=StringIO())
    assert Organization.objects.get(pk=cast.organization.pk).suspended_at is not None


def test_people_keep_their_accounts_and_other_organizations(client, cast) -> None:
    factories.MembershipFactory.create(organization=cast.outside, user=cast.bob)
    closing.close(cast.organization, leaves_balance=True)
    client.force_login(cast.bob)
    assert "Charlie" in client.get("/overview").content.decode()
    client.force_login(cast.alice)
    assert client.get("/").headers["Location"] == "/organizations/new"
