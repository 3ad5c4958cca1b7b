"""What a plan allows of members and projects, held by the verbs that add one."""

import secrets
import threading
from collections.abc import Callable

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts import allowances, invitations, members, projects, users
from accounts.models import Invitation, Membership, Project
from billing.models import Plan
from tests import factories


@pytest.fixture
def cast(db: None) -> factories.Cast:
    cache.clear()
    return factories.cast()


@pytest.fixture
def owner(client: Client, cast: factories.Cast) -> Client:
    client.force_login(cast.alice)
    return client


def allow(cast: factories.Cast, **bounds: int) -> None:
    plan = Plan.objects.get(subscriptions__organization=cast.organization)
    Plan.objects.filter(pk=plan.pk).update(**bounds)


def alice(cast: factories.Cast) -> Membership:
    return Membership.objects.get(user=cast.alice, organization=cast.organization)


def test_a_plan_bounds_the_projects_that_are_not_archived(owner: Client, cast) -> None:
    allow(cast, projects_max=2)
    second = projects.create(cast.organization, "Second")
    answer = owner.post("/settings/projects/new", {"name": "Third", "budget_month_nanos": "5"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Your plan allows 2 projects that are not archived." in page
    assert 'href="/billing/plans">Compare plans</a>' in page and 'value="Third"' in page
    projects.archive(second)
    owner.post("/settings/projects/new", {"name": "Third"})
    page = owner.post(f"/settings/projects/{second.pk}/restore", follow=True).content.decode()
    assert "Your plan allows 2 projects" in page and "Compare plans</a>" in page
    second.refresh_from_db()
    assert second.archived_at is not None


def test_open_invitations_count_as_members(owner: Client, cast) -> None:
    there = cast.organization.memberships.count()
    allow(cast, members_max=there + 1)
    owner.post("/settings/members/invite", {"email": "dora@example.com", "role": "viewer"})
    answer = owner.post("/settings/members/invite", {"email": "emil@example.com", "role": "viewer"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f"Your plan allows {there + 1} members, open invitations included." in page
    assert 'href="/billing/plans">Compare plans</a>' in page and 'value="emil@example.com"' in page
    assert list(Invitation.objects.values_list("email", flat=True)) == ["dora@example.com"]
    invitations.revoke(Invitation.objects.get(), by=alice(cast))
    owner.post("/settings/members/invite", {"email": "emil@example.com", "role": "viewer"})
    assert Invitation.objects.get().email == "emil@example.com"


def test_whoever_was_invited_takes_the_place_that_was_kept(cast) -> None:
    there = cast.organization.memberships.count()
    allow(cast, members_max=there + 1)
    invitation = invitations.invite("dora@example.com", "viewer", by=alice(cast))
    invitations.accept(invitation, users.find_or_create("dora@example.com").user)
    assert cast.organization.memberships.count() == there + 1


def test_after_a_downgrade_all_stay_and_nobody_is_added(client: Client, cast) -> None:
    there = cast.organization.memberships.count()
    projects.create(cast.organization, "Second")
    invitation = invitations.invite("dora@example.com", "viewer", by=alice(cast))
    allow(cast, members_max=1, projects_max=1)
    dora = users.find_or_create("dora@example.com").user
    with pytest.raises(allowances.TooManyMembers):
        invitations.accept(invitation, dora)
    with pytest.raises(allowances.TooManyProjects):
        projects.create(cast.organization, "Third")
    assert cast.organization.memberships.count() == there
    assert cast.organization.projects.filter(archived_at=None).count() == 2
    # What is there goes on: roles change, and projects are renamed.
    bob = Membership.objects.get(user=cast.bob, organization=cast.organization)
    members.change_role(bob, "viewer", by=alice(cast))
    projects.rename(cast.organization.projects.get(name="Second"), "Other")


def test_a_refused_guest_is_told_whom_to_ask(client: Client, cast, monkeypatch) -> None:
    token = "a-token-that-was-mailed"
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: token)
    invitations.invite("dora@example.com", "viewer", by=alice(cast))
    allow(cast, members_max=1)
    client.force_login(users.find_or_create("dora@example.com").user)
    answer = client.post(f"/invitations/{token}")
    assert answer.status_code == 422
    assert "has as many members as its plan allows. Ask whoever invited you." in (
        answer.content.decode()
    )


def test_one_plans_bound_is_nobody_elses(client: Client, cast) -> None:
    allow(cast, members_max=1, projects_max=1)
    other = Plan.objects.exclude(subscriptions__organization=cast.organization).first()
    subscription = cast.outside.subscription
    subscription.plan = other
    subscription.save()
    client.force_login(cast.charlie)
    client.post("/settings/projects/new", {"name": "Mine"})
    client.post("/settings/members/invite", {"email": "dora@example.com", "role": "viewer"})
    assert Project.objects.filter(organization=cast.outside, name="Mine").exists()
    assert Invitation.objects.get().organization == cast.outside


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["projects", "members"])
def test_many_at_once_take_the_last_place_once(what: str) -> None:
    cast = factories.cast()
    organization = cast.organization
    allow(cast, projects_max=2, members_max=organization.memberships.count() + 1)
    by = alice(cast)
    makers: dict[str, Callable[[int], object]] = {
        "projects": lambda n: projects.create(organization, f"Project {n}"),
        "members": lambda n: invitations.invite(f"guest{n}@example.com", "viewer", by=by),
    }
    barrier, refused = threading.Barrier(6), []

    def add(number: int) -> None:
        try:
            barrier.wait()
            makers[what](number)
        except allowances.AllowanceReached as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert organization.projects.count() + organization.invitations.count() == 2
