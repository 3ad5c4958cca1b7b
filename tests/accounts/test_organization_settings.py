"""Settings: the organization's name, and its audit log as owners and admins read it."""

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import audit
from accounts.models import AuditEntry, Membership, Organization, Role
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> factories.Cast:
    cache.clear()
    return factories.cast()


@pytest.fixture
def owner(client: Client, cast) -> Client:
    client.force_login(cast.alice)
    return client


def test_a_new_name_is_shown_everywhere_and_recorded(owner, cast) -> None:
    owner.post("/settings", {"name": "Acme Machines"})
    assert "Acme Machines" in owner.get("/overview").content.decode()
    entry = AuditEntry.objects.get(action="organization.renamed")
    assert (entry.target, entry.details) == ("Acme Machines", {"before": "Acme Robotics"})
    owner.post("/settings", {"name": "Acme Machines"})
    assert AuditEntry.objects.filter(action="organization.renamed").count() == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_name_is_there_and_has_at_most_100_characters(owner, cast, name: str) -> None:
    assert owner.post("/settings", {"name": name}).status_code == 422
    assert Organization.objects.get(pk=cast.organization.pk).name == "Acme Robotics"


def test_who_may_not_rename_sees_the_name_and_no_field(client: Client, cast) -> None:
    client.force_login(cast.bob)
    page = client.get("/settings").content.decode()
    assert "Acme Robotics" in page
    assert 'name="name"' not in page
    assert "/settings/delete" not in page
    assert "/settings/audit-log" not in page


def test_the_log_shows_the_own_organizations_changes_alone(owner, cast) -> None:
    factories.key(cast.organization, "Ours")
    factories.key(cast.outside, "Theirs")
    page = owner.get("/settings/audit-log").content.decode()
    assert "Ours" in page
    assert "Theirs" not in page


def test_the_log_is_narrowed_by_subject_and_person(owner, cast) -> None:
    project = cast.organization.projects.get()
    owner.post("/keys/new", {"name": "By Alice", "project": project.pk})
    browser = Client()
    browser.force_login(cast.bob)
    browser.post("/keys/new", {"name": "By Bob", "project": project.pk})
    owner.post("/settings", {"name": "Acme Machines"})

    def shown(query: str) -> str:
        return str(owner.get(f"/settings/audit-log?{query}").content.decode())

    assert "By Alice" in shown("subject=key") and "By Bob" in shown("subject=key")
    assert "Renamed the organization" not in shown("subject=key")
    assert "By Bob" in shown("who=Bob@example.com")
    assert "By Alice" not in shown("who=Bob@example.com")
    assert "No change fits this filter" in shown("who=nobody@example.com")


def test_the_log_goes_on_by_cursor(owner, cast) -> None:
    for number in range(60):
        audit.record("key.created", cast.organization, f"number {number:03}")
    first = owner.get("/settings/audit-log").content.decode()
    assert "number 059" in first and "number 010" in first
    assert "number 009" not in first
    oldest = AuditEntry.objects.get(target="number 010")
    assert f"?before={oldest.sequence}" in first
    second = owner.get(f"/settings/audit-log?before={oldest.sequence}").content.decode()
    assert "number 009" in second and "number 010" not in second
    assert "Newest" in second


@pytest.mark.parametrize(
    "query",
    ["before=x", "before=-1", "before=99999999999999999999", "subject=x", "who=" + "x" * 300],
)
def test_a_query_that_is_no_filter_shows_the_log(owner, cast, query: str) -> None:
    answer = owner.get(f"/settings/audit-log?{query}")
    assert answer.status_code == 200
    assert "Created the organization" in answer.content.decode()


def test_what_an_operator_did_names_no_person_and_no_address(owner, cast) -> None:
    actor = audit.Actor(None, "operator@example.com", "192.0.2.99", True)
    audit.record("organization.suspended", cast.organization, "Acme", by=actor)
    page = owner.get("/settings/audit-log").content.decode()
    assert "Operator" in page
    assert "operator@example.com" not in page
    assert "192.0.2.99" not in page


def test_the_log_asks_little_of_the_database_however_long_it_is(
    owner, cast, django_assert_max_num_queries
) -> None:
    Membership.objects.filter(user=cast.alice).update(role=Role.ADMIN)
    for number in range(120):
        audit.record("key.created", cast.organization, f"number {number:03}")
    with django_assert_max_num_queries(8):
        owner.get("/settings/audit-log")
