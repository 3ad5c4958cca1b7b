"""The audit log: who changed what, and that nobody changes that."""

import json
from io import StringIO
from threading import Thread

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from accounts import audit, keys
from accounts.models import AuditEntry, AuditHead, Organization
from billing import subscriptions
from billing.models import Plan
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> factories.Cast:
    cache.clear()
    return factories.cast()


def actions(organization: Organization) -> list[str]:
    entries = AuditEntry.objects.filter(organization=organization).order_by("sequence")
    return list(entries.values_list("action", flat=True))


def tamper(statement: str, *parameters: str | int | None) -> None:
    """Change the table as somebody does who may switch its guard off."""
    table = "accounts_auditentry"
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement, parameters)
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_what_a_page_changes_is_recorded_with_who_and_from_where(client, cast) -> None:
    client.force_login(cast.bob)
    project = cast.organization.projects.get()
    client.post("/keys/new", {"name": "Nightly", "project": project.pk}, REMOTE_ADDR="192.0.2.7")
    key = cast.organization.api_keys.get()
    client.post(f"/keys/{key.pk}/revoke", REMOTE_ADDR="192.0.2.8")
    made, revoked = AuditEntry.objects.filter(organization=cast.organization).order_by("pk")[1:]
    assert (made.action, made.actor_email, made.address) == (
        "key.created", "bob@example.com", "192.0.2.7",
    )  # fmt: skip
    assert (revoked.action, revoked.address) == ("key.revoked", "192.0.2.8")
    assert made.target == f"Nightly ({key.masked})"
    assert not made.is_operator


def test_a_new_organization_says_who_made_it_before_that_person_is_signed_in(
    client, settings
) -> None:
    cache.clear()
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    client.post(
        "/accounts/signup/",
        {"email": "Dora@example.com", "password1": "a long enough secret", "organization": "Lab"},
    )
    entry = AuditEntry.objects.get(action="organization.created")
    assert (entry.target, entry.actor_email) == ("Lab", "dora@example.com")
    assert not entry.is_operator


def test_a_command_records_the_operator(cast) -> None:
    call_command("suspend_organization", cast.organization.slug, stdout=StringIO())
    entry = AuditEntry.objects.get(action="organization.suspended")
    assert (entry.is_operator, entry.actor_id) == (True, None)


def test_a_change_of_plan_is_recorded_once_and_with_both_plans(cast) -> None:
    pro = Plan.objects.get(slug="pro")
    for _ in range(2):
        subscriptions.change_plan(cast.organization, pro, charge_fee=False)
    entry = AuditEntry.objects.get(action="plan.changed")
    assert (entry.target, entry.details) == (pro.name, {"before": "Starter"})


def test_what_is_rolled_back_was_never_recorded(cast) -> None:
    before = actions(cast.organization)
    with pytest.raises(RuntimeError), transaction.atomic():
        factories.key(cast.organization)
        raise RuntimeError
    assert actions(cast.organization) == before
    assert audit.verify().is_whole


def test_no_secret_of_a_key_is_in_the_log(cast) -> None:
    made = factories.key(cast.organization)
    keys.revoke(made.row)
    rows = json.dumps(list(AuditEntry.objects.values()), default=str, ensure_ascii=False)
    assert made.row.masked in rows
    assert made.secret not in rows
    assert made.row.digest not in rows


def test_an_unknown_action_is_refused(cast) -> None:
    with pytest.raises(ValueError, match="not one of the actions"):
        audit.record("key.eaten", cast.organization)


@pytest.mark.parametrize(
    "change", ["UPDATE accounts_auditentry SET target = 'x'", "DELETE FROM accounts_auditentry"]
)
def test_the_database_refuses_to_change_an_entry(cast, change: str) -> None:
    refused = pytest.raises(IntegrityError, match="refused")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_chains_are_whole_after_ordinary_work(cast) -> None:
    for name in ("One", "Zwei", "三"):
        keys.revoke(factories.key(cast.organization, name).row)
    audit.record("plan.changed", None, "of nobody", amount_nanos=2**62, ratio=None, names=["a"])
    verdict = audit.verify()
    assert verdict.is_whole, verdict.troubles
    assert verdict.chains == 3
    assert verdict.entries == AuditEntry.objects.count() == 9


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE accounts_auditentry SET target = 'x' WHERE id = %s", "it was edited"),
        ("UPDATE accounts_auditentry SET details = '{\"a\": 1}' WHERE id = %s", "it was edited"),
        ("UPDATE accounts_auditentry SET actor_email = 'x' WHERE id = %s", "it was edited"),
        ("UPDATE accounts_auditentry SET created_at = now() WHERE id = %s", "it was edited"),
        ("DELETE FROM accounts_auditentry WHERE id = %s", "entry 2 should stand here"),
        (
            "UPDATE accounts_auditentry SET sequence = -sequence WHERE id = %s",
            "should stand here",
        ),
    ],
)
def test_an_edited_removed_or_reordered_entry_is_found(cast, statement: str, found: str) -> None:
    for name in ("a", "b", "c"):
        factories.key(cast.organization, name)
    second = AuditEntry.objects.get(organization=cast.organization, sequence=2)
    tamper(statement, second.pk)
    verdict = audit.verify()
    assert any(found in trouble for trouble in verdict.troubles), verdict.troubles


def test_taking_the_last_entry_or_a_whole_chain_away_is_found(cast) -> None:
    factories.key(cast.organization)
    tamper(
        "DELETE FROM accounts_auditentry WHERE action = 'key.created' AND organization_id = %s",
        cast.organization.pk,
    )
    assert audit.verify().troubles == [
        f"chain {cast.organization.pk}: it does not end with entry 2"
    ]
    tamper("DELETE FROM accounts_auditentry WHERE organization_id = %s", cast.outside.pk)
    assert len(audit.verify().troubles) == 2


def test_an_inserted_entry_is_found_wherever_it_stands(cast) -> None:
    factories.key(cast.organization)
    copied = """
        INSERT INTO accounts_auditentry (organization_id, sequence, actor_id, actor_email, address,
            is_operator, action, target, details, created_at, previous_hash, hash)
        SELECT organization_id, sequence + %s, actor_id, actor_email, address, is_operator, action,
            'Forged', details, created_at, %s, hash
        FROM accounts_auditentry WHERE organization_id = %s AND sequence = 1
    """
    last = AuditEntry.objects.get(organization=cast.organization, sequence=2)
    tamper(copied, 2, last.hash, cast.organization.pk)
    troubles = audit.verify().troubles
    assert troubles == [f"chain {cast.organization.pk}, entry 3: it was edited"]
    tamper(copied, 1_000, last.hash, cast.outside.pk)
    assert any(f"chain {cast.outside.pk}" in one for one in audit.verify().troubles)


def test_two_entries_that_changed_places_are_found(cast) -> None:
    factories.key(cast.organization)
    swap = (
        "UPDATE accounts_auditentry SET sequence = %s WHERE organization_id = %s AND sequence = %s"
    )
    for after, before in ((-1, 1), (1, 2), (2, -1)):
        tamper(swap, after, cast.organization.pk, before)
    assert len(audit.verify().troubles) >= 2


def test_a_chain_cut_short_together_with_its_end_is_found(cast) -> None:
    factories.key(cast.organization)
    first = AuditEntry.objects.get(organization=cast.organization, sequence=1)
    tamper(
        "DELETE FROM accounts_auditentry WHERE organization_id = %s AND sequence = 2",
        cast.organization.pk,
    )
    AuditHead.objects.filter(pk=cast.organization.pk).update(sequence=1, hash=first.hash)
    assert audit.verify().troubles == [f"chain {cast.organization.pk}: its end was rewritten"]
    AuditHead.objects.filter(pk=cast.organization.pk).update(seal="")
    assert not audit.verify().is_whole


def test_a_chain_taken_away_together_with_its_end_is_found(cast) -> None:
    audit.record("catalog.changed", None, "of nobody")
    for chain, organization in ((cast.outside.pk, cast.outside.pk), (0, None)):
        tamper(
            "DELETE FROM accounts_auditentry WHERE organization_id IS NOT DISTINCT FROM %s",
            organization,
        )
        AuditHead.objects.filter(pk=chain).delete()
    audit.record("catalog.changed", None, "of nobody")
    AuditHead.objects.filter(pk=0).delete()
    assert audit.verify().troubles == [
        "chain 0: it is gone",
        f"chain {cast.outside.pk}: it is gone",
    ]


def test_a_chain_made_anew_without_the_servers_secret_does_not_hold(cast, settings) -> None:
    factories.key(cast.organization)
    right, settings.KEY_PEPPER = settings.KEY_PEPPER, "a guess"
    entry = AuditEntry.objects.get(organization=cast.organization, sequence=2)
    entry.target = "Another key"
    forged = audit.digest(entry)
    tamper(
        "UPDATE accounts_auditentry SET target = %s, hash = %s WHERE id = %s",
        entry.target, forged, entry.pk,
    )  # fmt: skip
    AuditHead.objects.filter(pk=cast.organization.pk).update(hash=forged)
    settings.KEY_PEPPER = right
    assert not audit.verify().is_whole


def test_the_command_says_whole_or_broken_and_exits_accordingly(cast) -> None:
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert "The audit log is whole: 2 entries in 2 chains." in out.getvalue()
    tamper("UPDATE accounts_auditentry SET target = 'x' WHERE sequence = %s", 1)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_audit", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["ok"], len(told["troubles"])) == (False, 2)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_still_make_one_chain() -> None:
    organization = factories.OrganizationFactory.create()

    def work() -> None:
        for _ in range(5):
            factories.key(organization)
        connection.close()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert actions(organization).count("key.created") == 20
    assert audit.verify().is_whole
