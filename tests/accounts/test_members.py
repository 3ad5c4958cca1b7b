"""Members and their roles: who may change whom, and that somebody always owns."""

from threading import Barrier, Thread

import pytest
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client

from accounts import members
from accounts.models import AuditEntry, Membership, Role
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> factories.Cast:
    cache.clear()
    return factories.cast()


def of(cast: factories.Cast, user) -> Membership:
    return Membership.objects.get(organization=cast.organization, user=user)


def role_of(cast: factories.Cast, user) -> str:
    return str(of(cast, user).role)


def test_an_owner_changes_a_role_and_it_is_recorded(client: Client, cast) -> None:
    client.force_login(cast.alice)
    bob = of(cast, cast.bob)
    answer = client.post(f"/settings/members/{bob.pk}", {"role": "viewer"})
    assert answer.headers["Location"] == "/settings/members"
    assert role_of(cast, cast.bob) == Role.VIEWER
    entry = AuditEntry.objects.get(action="member.role_changed")
    assert (entry.target, entry.details) == (
        "bob@example.com", {"before": "developer", "after": "viewer"},
    )  # fmt: skip
    assert entry.actor_email == "alice@example.com"


def test_a_changed_role_holds_from_the_next_page_on(client: Client, cast) -> None:
    client.force_login(cast.bob)
    assert client.get("/keys/new").status_code == 200
    members.change_role(of(cast, cast.bob), Role.VIEWER, by=of(cast, cast.alice))
    assert client.get("/keys/new").status_code == 403


def test_an_admin_manages_everybody_but_owners(cast) -> None:
    members.change_role(of(cast, cast.bella), Role.ADMIN, by=of(cast, cast.alice))
    admin = of(cast, cast.bella)
    members.change_role(of(cast, cast.bob), Role.ADMIN, by=admin)
    for verb in (
        lambda: members.change_role(of(cast, cast.alice), Role.VIEWER, by=admin),
        lambda: members.change_role(of(cast, cast.bob), Role.OWNER, by=admin),
        lambda: members.remove(of(cast, cast.alice), by=admin),
        lambda: members.hand_over(of(cast, cast.bob), by=admin),
    ):
        with pytest.raises(PermissionDenied):
            verb()
    assert role_of(cast, cast.alice) == Role.OWNER


@pytest.mark.parametrize("who", ["bob", "bella", "victor"])
def test_other_roles_change_nobody(cast, who: str) -> None:
    acting = of(cast, getattr(cast, who))
    for member in Membership.objects.filter(organization=cast.organization):
        with pytest.raises(PermissionDenied):
            members.change_role(member, Role.ADMIN, by=acting)
        with pytest.raises(PermissionDenied):
            members.remove(member, by=acting)


def test_nobody_changes_or_removes_themselves_as_a_member(cast) -> None:
    alice = of(cast, cast.alice)
    with pytest.raises(PermissionDenied):
        members.change_role(alice, Role.VIEWER, by=alice)
    with pytest.raises(PermissionDenied):
        members.remove(alice, by=alice)


def test_a_member_of_another_organization_is_not_found(cast) -> None:
    stranger = Membership.objects.get(user=cast.charlie)
    with pytest.raises(Membership.DoesNotExist):
        members.remove(stranger, by=of(cast, cast.alice))


def test_a_removed_member_is_out_at_once_and_their_keys_stay(client: Client, cast) -> None:
    key = factories.key(cast.organization, created_by=cast.bob).row
    browser = Client()
    browser.force_login(cast.bob)
    assert browser.get("/overview").status_code == 200
    client.force_login(cast.alice)
    path = f"/settings/members/{of(cast, cast.bob).pk}/remove"
    assert "1 key they created keeps working" in client.get(path).content.decode()
    client.post(path)
    assert browser.get("/overview").headers["Location"] == "/organizations/new"
    key.refresh_from_db()
    assert key.is_live


def test_the_only_owner_cannot_leave_and_is_told_what_to_do(client: Client, cast) -> None:
    client.force_login(cast.alice)
    assert "You are its only owner" in client.get("/settings/leave").content.decode()
    page = client.post("/settings/leave", follow=True).content.decode()
    assert "hand it over, or delete it" in page
    assert role_of(cast, cast.alice) == Role.OWNER


def test_everybody_else_leaves(client: Client, cast) -> None:
    client.force_login(cast.victor)
    client.post("/settings/leave")
    assert not Membership.objects.filter(user=cast.victor).exists()
    assert AuditEntry.objects.get(action="member.left").target == "victor@example.com"


def test_who_hands_over_becomes_an_admin_and_may_leave(client: Client, cast) -> None:
    client.force_login(cast.alice)
    client.post("/settings/owner", {"member": of(cast, cast.bob).pk})
    assert (role_of(cast, cast.alice), role_of(cast, cast.bob)) == (Role.ADMIN, Role.OWNER)
    client.post("/settings/leave")
    owners = Membership.objects.filter(organization=cast.organization, role=Role.OWNER)
    assert [one.user for one in owners] == [cast.bob]


def test_ownership_goes_to_no_stranger(client: Client, cast) -> None:
    client.force_login(cast.alice)
    stranger = Membership.objects.get(user=cast.charlie)
    assert client.post("/settings/owner", {"member": stranger.pk}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_demote_and_leave_at_once_leave_one_owner() -> None:
    """Whatever of the two comes first, the other one finds itself alone or demoted."""
    for round_number in range(5):
        first = factories.UserFactory.create(email=f"first{round_number}@example.com")
        second = factories.UserFactory.create(email=f"second{round_number}@example.com")
        organization = factories.OrganizationFactory.create(owner=first)
        other = factories.MembershipFactory.create(
            organization=organization, user=second, role=Role.OWNER
        )
        mine = Membership.objects.get(organization=organization, user=first)
        barrier = Barrier(2)

        def run(verb, barrier=barrier) -> None:
            barrier.wait(10)
            try:
                verb()
            except (PermissionDenied, members.LastOwner, Membership.DoesNotExist):
                pass
            finally:
                connection.close()

        threads = [
            Thread(target=run, args=(lambda m=mine: members.leave(m),)),
            Thread(
                target=run,
                args=(lambda o=other, m=mine: members.change_role(m, Role.VIEWER, by=o),),
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        both = [Thread(target=run, args=(lambda m=one: members.leave(m), Barrier(1)))
                for one in (mine, other)]  # fmt: skip
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(30)
        owners = Membership.objects.filter(organization=organization, role=Role.OWNER)
        assert owners.count() == 1
