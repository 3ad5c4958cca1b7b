from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.backends.cache import SessionStore
from django.utils import timezone

from accounts import keys, playground
from accounts.models import ApiKey, Membership, Role
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast():
    return factories.cast()


@pytest.fixture
def project(cast):
    return cast.organization.projects.get()


def test_the_key_opens_for_fifteen_minutes_and_its_secret_is_not_stored(cast, project) -> None:
    session = SessionStore()
    opened = playground.open_key(project, cast.bob, session)
    assert keys.is_well_formed(opened.secret)
    row = ApiKey.objects.get(digest=keys.digest(opened.secret))
    assert row.is_live
    assert row.expires_at is not None
    assert row.expires_at - timezone.now() <= timedelta(minutes=15)
    assert opened.secret not in str(dict(session.items()))
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert not ApiKey.objects.live().filter(pk=row.pk).exists()


def test_all_tabs_of_a_session_are_given_the_same_key(cast, project) -> None:
    session = SessionStore()
    first = playground.open_key(project, cast.bob, session)
    second = playground.open_key(project, cast.bob, session)
    assert first.secret == second.secret
    assert ApiKey.objects.count() == 1


def test_another_session_closes_the_first_ones_key(cast, project) -> None:
    first = playground.open_key(project, cast.bob, SessionStore())
    second = playground.open_key(project, cast.bob, SessionStore())
    assert not ApiKey.objects.filter(digest=keys.digest(first.secret)).exists()
    assert ApiKey.objects.live().get() == second.row


def test_a_key_that_has_ended_comes_back_with_another_secret(cast, project) -> None:
    session = SessionStore()
    first = playground.open_key(project, cast.bob, session)
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        second = playground.open_key(project, cast.bob, session)
        assert second.secret != first.secret
        assert ApiKey.objects.live().get().digest == keys.digest(second.secret)


def test_renewing_without_end_changes_the_secret_after_twelve_hours(cast, project) -> None:
    session, now = SessionStore(), timezone.now()
    secrets = set()
    for minutes in range(0, 13 * 60, 10):
        with time_machine.travel(now + timedelta(minutes=minutes)):
            secrets.add(playground.open_key(project, cast.bob, session).secret)
    assert len(secrets) == 2


def test_members_have_keys_of_their_own(cast, project) -> None:
    session = SessionStore()
    bobs = playground.open_key(project, cast.bob, session)
    alices = playground.open_key(project, cast.alice, session)
    assert bobs.secret != alices.secret
    assert ApiKey.objects.live().count() == 2


@pytest.mark.parametrize("how", ["removed", "viewer"])
def test_who_may_no_longer_send_requests_has_no_open_key(cast, project, how) -> None:
    playground.open_key(project, cast.bob, SessionStore())
    kept = playground.open_key(project, cast.alice, SessionStore())
    membership = Membership.objects.get(user=cast.bob)
    if how == "removed":
        membership.delete()
    else:
        membership.role = Role.VIEWER
        membership.save()
    assert ApiKey.objects.live().get() == kept.row


def test_signing_out_closes_the_key(client, cast, project) -> None:
    client.force_login(cast.bob)
    client.post("/playground/key", {"project": project.pk})
    assert ApiKey.objects.live().count() == 1
    client.post("/accounts/logout/")
    assert ApiKey.objects.live().count() == 0
