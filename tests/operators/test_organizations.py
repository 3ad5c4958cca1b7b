"""Organizations in the admin: what is seen, and what is done by a verb and written down."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import impersonation
from accounts.models import AuditEntry
from billing import ledger
from billing.models import Plan, UsageDay
from billing.periods import today
from tests import factories
from tests.operators.conftest import allow, signed_in

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/organization/"


def page(row, name: str = "change") -> str:
    return reverse(f"admin:accounts_organization_{name}", args=[row.pk])


def test_the_list_tells_money_and_plan_with_as_many_queries_for_one_as_for_many(olga, cast):
    client = signed_in(olga)
    factories.month_of_use(cast.organization, days=40)
    client.get(LIST)
    with CaptureQueriesContext(connection) as few:
        text = client.get(LIST).content.decode()
    spent = client.get(LIST).context["cl"].result_list
    assert {row.name: row.spent_nanos > 0 for row in spent} == {
        "Acme Robotics": True, "Charlie's": False,
    }  # fmt: skip
    assert "Starter" in text
    factories.OrganizationFactory.create_batch(12)
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(many) == len(few)


def test_what_is_spent_counts_this_month_only(olga, cast):
    first = today().replace(day=1)
    for day, nanos in ((first, 5), (today(), 7)):  # may be one day
        UsageDay.objects.create(organization_id=cast.organization.pk, day=day, model=f"m{nanos}",
                                charge_nanos=nanos * 10**9)  # fmt: skip
    UsageDay.objects.create(organization_id=cast.organization.pk, day=first - timedelta(1),
                            model="m", charge_nanos=99 * 10**9)  # fmt: skip
    text = signed_in(olga).get(page(cast.organization)).content.decode()
    assert "$12.00" in text
    assert "$111.00" not in text


def test_an_organizations_page_shows_members_wallet_plan_and_limits(olga, cast):
    text = signed_in(olga).get(page(cast.organization)).content.decode()
    for words in ("alice@example.com · Owner", "victor@example.com · Viewer", "$1.00", "Starter",
                  "requests,", "× 1 (the plan"):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(("to", "action"), [("suspended", "suspended"), ("served", "resumed")])
def test_suspending_and_resuming_are_verbs_with_an_entry(olga, cast, to, action):
    client = signed_in(olga)
    if to == "served":
        client.post(page(cast.organization, "standing"), {"to": "suspended"})
    client.post(page(cast.organization, "standing"), {"to": to})
    cast.organization.refresh_from_db()
    assert bool(cast.organization.suspended_at) == (to == "suspended")
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.organization, entry.actor_email, entry.is_operator) == (
        f"organization.{action}", cast.organization, olga.email, True,
    )  # fmt: skip


def test_several_are_suspended_from_the_list(olga, cast):
    chosen = [cast.organization.pk, cast.outside.pk]
    signed_in(olga).post(LIST, {"action": "suspend", "_selected_action": chosen})
    assert AuditEntry.objects.filter(action="organization.suspended").count() == 2


def test_the_plan_changes_without_a_fee(olga, cast):
    pro = Plan.objects.get(slug="pro")
    before = ledger.open_wallet(cast.organization).balance_nanos
    client = signed_in(olga)
    assert "Starter" in client.get(page(cast.organization, "plan")).content.decode()
    client.post(page(cast.organization, "plan"), {"plan": pro.pk})
    cast.organization.subscription.refresh_from_db()
    assert cast.organization.subscription.plan == pro
    assert ledger.open_wallet(cast.organization).balance_nanos == before


def test_staff_without_the_permission_change_nothing(stan, cast):
    allow(stan, "view_organization")
    client = signed_in(stan)
    assert client.get(LIST).status_code == 200
    for name in ("standing", "adjust", "plan", "impersonate"):
        assert client.post(page(cast.organization, name)).status_code == 403, name
    assert not AuditEntry.objects.filter(is_operator=True, actor_email=stan.email).exists()


def test_whatever_is_not_there_is_not_found(olga, cast):
    cast.organization.pk = 999_999
    assert signed_in(olga).get(page(cast.organization, "adjust")).status_code == 404


def test_a_changed_name_is_in_the_log_with_what_it_was_and_in_the_history(olga, cast):
    client = signed_in(olga)
    client.post(page(cast.organization), {"name": "Acme Two", "slug": cast.organization.slug})
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.target) == ("organization.renamed", "Acme Two")
    assert entry.details == {"before": "Acme Robotics"}
    text = client.get(page(cast.organization, "history")).content.decode()
    assert "Acme Robotics" in text and olga.email in text


def test_saving_nothing_new_is_no_entry(olga, cast):
    row = cast.organization
    signed_in(olga).post(page(row), {"name": row.name, "slug": row.slug})
    changed = AuditEntry.objects.filter(action__in=["operator.changed", "organization.renamed"])
    assert not changed.exists()


def test_the_log_is_listed_filtered_and_never_changed(olga, cast):
    client = signed_in(olga)
    client.post(page(cast.organization, "standing"), {"to": "suspended"})
    log = "/admin/accounts/auditentry/"
    shown = client.get(log, {"subject": "organization"}).context["cl"].result_list
    assert {row.action for row in shown} >= {"organization.suspended", "organization.created"}
    assert not list(client.get(log, {"subject": "key"}).context["cl"].result_list)
    mine = {"organization__id__exact": cast.outside.pk}
    assert {row.organization for row in client.get(log, mine).context["cl"].result_list} == {
        cast.outside
    }
    entry = AuditEntry.objects.latest("id")
    assert client.post(f"{log}{entry.pk}/change/", {"target": "x"}).status_code == 403
    assert client.post(f"{log}{entry.pk}/delete/", {"post": "yes"}).status_code == 403


# --- impersonation ------------------------------------------------------------------------------


def opened(user, row):
    client = signed_in(user)
    return client, client.post(page(row, "impersonate"))


def test_an_operator_sees_the_owners_dashboard_under_a_bar_that_ends_it(olga, cast):
    factories.key(cast.organization, "Acme backend")
    client, answer = opened(olga, cast.organization)
    assert answer.headers["Location"] == reverse("overview")
    text = client.get("/keys").content.decode()
    assert "Acme backend" in text
    assert "alice@example.com" in text and reverse("impersonation_end") in text
    answer = client.post(reverse("impersonation_end"))
    assert answer.headers["Location"] == page(cast.organization)
    assert "Acme backend" not in client.get("/keys", follow=True).content.decode()
    log = AuditEntry.objects.filter(organization=cast.organization, actor_email=olga.email)
    assert list(log.order_by("id").values_list("action", flat=True)) == [
        "impersonation.began", "impersonation.ended",
    ]  # fmt: skip


def test_without_being_a_superuser_nothing_can_be_changed_meanwhile(stan, cast):
    allow(stan, "change_organization")
    client, answer = opened(stan, cast.organization)
    assert answer.status_code == 302
    key = factories.key(cast.organization).row
    for path in (f"/keys/{key.pk}/revoke", reverse("plan_change", args=["pro"]),
                 "/organizations/new", page(cast.organization, "standing")):  # fmt: skip
        assert client.post(path, {"to": "suspended"}).status_code == 403, path
    key.refresh_from_db()
    cast.organization.refresh_from_db()
    assert key.revoked_at is None and cast.organization.suspended_at is None
    assert client.get("/keys").status_code == 200
    assert client.post(reverse("impersonation_end")).status_code == 302


def test_what_a_superuser_changes_meanwhile_is_recorded_as_an_operators(olga, cast):
    client, _ = opened(olga, cast.organization)
    key = factories.key(cast.organization).row
    client.post(f"/keys/{key.pk}/revoke")
    entry = AuditEntry.objects.filter(action="key.revoked").get()
    assert (entry.actor_email, entry.is_operator) == (olga.email, True)


def test_an_organization_with_an_operator_in_it_is_never_opened(olga, cast):
    cast.bob.is_staff = True
    cast.bob.save()
    client, _ = opened(olga, cast.organization)
    assert client.get("/keys").status_code == 302  # olga has no organization of her own
    assert not AuditEntry.objects.filter(action="impersonation.began").exists()


def test_it_ends_by_itself_after_its_time_and_with_the_sign_out(olga, cast, monkeypatch):
    client, _ = opened(olga, cast.organization)
    late = time.time() + impersonation.SECONDS_MAX + 1
    monkeypatch.setattr("accounts.impersonation.time.time", lambda: late)
    assert client.get("/keys").status_code == 302
    monkeypatch.undo()
    client, _ = opened(olga, cast.organization)
    client.post("/accounts/logout/")
    ended = AuditEntry.objects.filter(action="impersonation.ended").order_by("id")
    assert [entry.details["why"] for entry in ended] == ["expired", "signed out"]


def test_an_operator_who_is_none_any_more_sees_nothing_of_it(stan, cast):
    allow(stan, "change_organization")
    client, _ = opened(stan, cast.organization)
    stan.is_staff = False
    stan.save()
    assert client.get("/keys").status_code == 302


def test_a_member_cannot_begin_it(cast):
    client = signed_in(cast.charlie)
    client.post(page(cast.organization, "impersonate"))
    assert "Acme" not in client.get("/overview").content.decode()


def test_everybody_may_end_what_they_have_not_begun(cast):
    assert signed_in(cast.alice).post(reverse("impersonation_end")).status_code == 302
