"""A person who leaves for good: what goes with them, what stays, and when they cannot."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.test import Client

from accounts import audit, deletion, mail, users
from accounts.models import ApiKey, AuditEntry, Membership, Organization, Role, User
from billing import departure, proof
from billing.models import Account, Transfer
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_limits():
    cache.clear()


def sign_in(user: User) -> Client:
    users.verify(user)
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": factories.PASSWORD})
    return client


def delete(client: Client, email: str):
    asked = client.get("/account/delete")
    client.post(asked.headers["Location"], {"password": factories.PASSWORD})
    return client.post("/account/delete", {"email": email})


def test_a_member_is_gone_with_everything_about_them_and_the_organization_stays(mailoutbox):
    cast = factories.cast()
    key = factories.key(cast.organization, "Bob's", created_by=cast.bob).row
    users.verify(cast.bob)
    Authenticator.objects.create(user=cast.bob, type="totp", data={})
    departure.depart(cast.bob)
    assert not User.objects.filter(email="bob@example.com").exists()
    for model in (EmailAddress, Authenticator):
        assert not model.objects.exists()
    assert cast.organization.memberships.count() == 3
    key.refresh_from_db()
    assert key.is_live
    assert key.created_by is None
    mail.deliver()
    assert mailoutbox[-1].to == ["bob@example.com"]
    assert "deleted" in mailoutbox[-1].subject


def test_an_owner_alone_takes_the_organization_along_and_the_ledger_stays():
    cast = factories.cast()
    live = factories.key(cast.outside).row
    wallet = Account.objects.get(organization=cast.outside)
    transfers = Transfer.objects.count()
    [owned] = departure.look(cast.charlie)
    assert (owned.keys, owned.is_closed) == (1, True)
    assert owned.balance_nanos == wallet.balance_nanos > 0
    departure.depart(cast.charlie)
    live.refresh_from_db()
    assert not live.is_live
    outside = Organization.objects.get(pk=cast.outside.pk)
    assert outside.deleted_at is not None
    wallet.refresh_from_db()
    assert wallet.balance_nanos == owned.balance_nanos
    assert Transfer.objects.count() == transfers
    assert [check.name for check in proof.prove() if not check.is_ok] == []
    assert audit.verify().is_whole


def test_an_owner_of_others_needs_another_owner_first():
    cast = factories.cast()
    with pytest.raises(deletion.StillNeeded):
        departure.depart(cast.alice)
    assert User.objects.filter(pk=cast.alice.pk).exists()
    Membership.objects.filter(user=cast.bob).update(role=Role.OWNER)
    departure.depart(cast.alice)
    assert cast.organization.memberships.filter(role=Role.OWNER).get().user == cast.bob


def test_nothing_is_closed_where_something_else_still_needs_the_owner():
    cast = factories.cast()
    alone = factories.OrganizationFactory.create(name="Alone", owner=cast.alice)
    with pytest.raises(deletion.StillNeeded):
        departure.depart(cast.alice)
    alone.refresh_from_db()
    assert alone.deleted_at is None


def test_an_operator_stays():
    operator = User.objects.create_superuser("root@example.com", "secret")
    with pytest.raises(deletion.StillNeeded):
        departure.depart(operator)


def test_the_log_says_that_somebody_left_without_their_address():
    cast = factories.cast()
    pk = cast.bob.pk
    client = sign_in(cast.bob)
    assert delete(client, "bob@example.com").headers["Location"] == "/account/gone"
    entry = AuditEntry.objects.get(action="account.deleted")
    assert (entry.actor_id, entry.target) == (pk, f"user {pk}")
    assert (entry.actor_email, entry.address) == (f"user-{pk}", "")


def test_the_page_says_what_goes_and_takes_the_address_typed():
    cast = factories.cast()
    factories.key(cast.outside)
    client = sign_in(cast.charlie)
    wrong = delete(client, "somebody@example.com")
    assert wrong.status_code == 422
    page = wrong.content.decode()
    assert "This is not the address of your account." in page
    assert "1 key stops working" in page
    assert "can no longer be spent" in page
    done = client.post("/account/delete", {"email": " Charlie@Example.com "})
    assert done.headers["Location"] == "/account/gone"
    assert client.get("/account/gone").status_code == 200
    assert client.get("/account").status_code == 302
    assert not ApiKey.objects.live().filter(organization=cast.outside).exists()


def test_the_page_of_an_owner_who_is_needed_offers_no_button():
    cast = factories.cast()
    client = sign_in(cast.alice)
    page = delete(client, "alice@example.com").headers["Location"]
    assert page == "/account/delete"
    text = client.get(page).content.decode()
    assert "Acme Robotics" in text
    assert "Delete my account" not in text
    assert User.objects.filter(pk=cast.alice.pk).exists()


def test_deleting_asks_for_the_password_even_of_a_session_left_open(client):
    cast = factories.cast()
    client.force_login(cast.charlie)
    answer = client.post("/account/delete", {"email": "charlie@example.com"})
    assert answer.headers["Location"].startswith("/account/confirm")
    assert User.objects.filter(pk=cast.charlie.pk).exists()
