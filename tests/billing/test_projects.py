"""Projects and their budgets: what pages change, and what the ledger holds them to."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.test import Client

from accounts import allowances, projects
from accounts.models import ApiKey, AuditEntry, Organization, Project
from billing import ids, ledger, project_budgets
from billing.batches import Authorization, Hold
from billing.ledger import BudgetExceeded, InsufficientFunds, ProjectBudgetExceeded
from billing.models import ProjectBudget, Transfer, UsageDay
from billing.periods import today
from tests import factories
from tests.billing import commits, scenes


@pytest.fixture
def cast(db: None) -> factories.Cast:
    cache.clear()
    return factories.cast()


@pytest.fixture
def owner(client: Client, cast) -> Client:
    client.force_login(cast.alice)
    return client


def spend(project: Project, nanos: int, day: date | None = None) -> None:
    """As the rollups would have it."""
    UsageDay.objects.create(
        organization_id=project.organization_id, project_id=project.pk, model="qwen-plus",
        day=day or today(), charge_nanos=nanos, requests=1,
    )  # fmt: skip


def test_a_project_is_made_with_a_budget_and_is_offered_for_keys(owner, cast) -> None:
    owner.post("/settings/projects/new", {"name": "Chatbot", "budget_month_nanos": "12.5"})
    made = Project.objects.get(name="Chatbot")
    assert (made.organization, made.budget_month_nanos) == (cast.organization, 12_500_000_000)
    assert "Chatbot" in owner.get("/keys/new").content.decode()
    recorded = AuditEntry.objects.filter(target="Chatbot").values_list("action", flat=True)
    assert list(recorded) == ["project.created", "project.budget_changed"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "Default"}, "Another project has this name"),
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"name": "x", "budget_month_nanos": "-1"}, "greater than or equal to 0"),
        ({"name": "x", "budget_month_nanos": "much"}, "Enter a number."),
        ({"name": "x", "budget_month_nanos": "1e30"}, "no more than"),
    ],
)
def test_what_cannot_be_a_project_says_so_beside_the_field(owner, cast, form, words) -> None:
    answer = owner.post("/settings/projects/new", form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert Project.objects.filter(organization=cast.organization).count() == 1


def test_projects_are_bounded(owner, cast, monkeypatch) -> None:
    monkeypatch.setattr(allowances, "PROJECTS_MAX", 2)
    owner.post("/settings/projects/new", {"name": "Second"})
    answer = owner.post("/settings/projects/new", {"name": "Third"})
    assert "There are 2 projects already" in answer.content.decode()


def test_a_project_keeps_its_usage_under_a_new_name(owner, cast) -> None:
    project = cast.organization.projects.get()
    spend(project, 7_000_000_000)
    owner.post(f"/settings/projects/{project.pk}", {"name": "Production"})
    page = owner.get("/settings/projects").content.decode()
    assert "Production" in page
    assert "$7.00" in page


def test_the_list_shows_this_months_spending_alone_and_when_a_budget_is_used_up(
    owner, cast
) -> None:
    project = cast.organization.projects.get()
    spend(project, 3 * factories.USD)
    spend(project, 99 * factories.USD, today().replace(day=1) - timedelta(days=1))
    project_budgets.set_budget(project, 4 * factories.USD)
    page = owner.get("/settings/projects").content.decode()
    assert "$3.00" in page and "75 percent of the budget" in page
    project_budgets.set_budget(project, 2 * factories.USD)
    assert "Used up: requests get a 402" in owner.get("/settings/projects").content.decode()


def test_archiving_revokes_the_projects_keys_and_takes_it_from_the_forms(owner, cast) -> None:
    second = projects.create(cast.organization, "Second")
    key = factories.key(cast.organization).row
    ApiKey.objects.filter(pk=key.pk).update(project=second)
    path = f"/settings/projects/{second.pk}/archive"
    assert key.masked in owner.get(path).content.decode()
    page = owner.post(path, follow=True).content.decode()
    assert "“Second” is archived, 1 key revoked." in page
    key.refresh_from_db()
    assert not key.is_live
    assert ">Second<" not in owner.get("/keys/new").content.decode()
    owner.post(f"/settings/projects/{second.pk}/restore")
    assert ">Second<" in owner.get("/keys/new").content.decode()
    key.refresh_from_db()
    assert not key.is_live


def test_the_last_project_stays(owner, cast) -> None:
    project = cast.organization.projects.get()
    page = owner.post(f"/settings/projects/{project.pk}/archive", follow=True).content.decode()
    assert "this is the only one" in page
    project.refresh_from_db()
    assert project.archived_at is None


def test_a_budget_set_in_the_middle_of_a_month_counts_what_was_spent_before(cast) -> None:
    project = cast.organization.projects.get()
    spend(project, 5)
    project_budgets.set_budget(project, 100)
    assert ProjectBudget.objects.get(pk=project.pk).month_nanos == 5
    ProjectBudget.objects.filter(pk=project.pk).update(month_nanos=60)
    project_budgets.set_budget(project, 200)  # another amount begins no new count
    assert ProjectBudget.objects.get(pk=project.pk).month_nanos == 60
    changes = AuditEntry.objects.filter(action="project.budget_changed").order_by("pk")
    assert [(one.details["before_nanos"], one.details["after_nanos"]) for one in changes] == [
        (None, 100), (100, 200),
    ]  # fmt: skip


# --- the ledger ---------------------------------------------------------------------------------


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return scenes.make_organization(credit_nanos=1_000)


async def ask(organization: Organization, amount: int, **caps: Any) -> Authorization:
    wallet = await sync_to_async(commits.wallet_of)(organization)
    project = await organization.projects.aget()
    return Authorization(
        ids.uuid7(), wallet.pk, amount, caps.pop("minimum", amount), caps.pop("key", 1),
        project_id=project.pk, cap_project_month_nanos=150, **caps,
    )  # fmt: skip


async def spent(organization: Organization) -> int:
    project = await organization.projects.aget()
    return (await ProjectBudget.objects.aget(pk=project.pk)).month_nanos


def capture(hold: Hold, organization: Organization, charge: int) -> Any:
    """The end of a hold whose record names the project, as the gateway's does."""
    import msgspec

    plain = commits.capture_of(hold, organization, charge)
    project = organization.projects.get()
    facts = msgspec.structs.replace(plain.facts, project_id=project.pk)
    return msgspec.structs.replace(plain, facts=facts)


async def test_all_keys_of_a_project_share_its_budget_and_unspent_holds_come_back(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 100, key=1))
        with pytest.raises(ProjectBudgetExceeded) as refusal:
            await commit.authorize(await ask(organization, 100, key=2))
        await commit.capture(await sync_to_async(capture)(hold, organization, 20))
        await commit.authorize(await ask(organization, 100, key=2))
    assert refusal.value.available_nanos == 50
    assert await spent(organization) == 120


async def test_what_is_left_of_a_budget_is_held_where_the_request_named_no_limit(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 900, minimum=10))
    assert hold.amount_nanos == 150


async def test_many_callers_on_one_budget_never_exceed_it(
    organization: Organization, tmp_path: Path
) -> None:
    items = [await ask(organization, 40, key=number % 3) for number in range(20)]
    async with commits.running(tmp_path) as commit:
        answers = await asyncio.gather(
            *[commit.authorize(item) for item in items], return_exceptions=True
        )
    assert sum(isinstance(answer, Hold) for answer in answers) == 3
    assert sum(isinstance(answer, ProjectBudgetExceeded) for answer in answers) == 17
    assert await spent(organization) == 120


async def test_the_nearest_of_key_cap_budget_and_wallet_is_the_one_named(
    organization: Organization, tmp_path: Path
) -> None:
    async with commits.running(tmp_path) as commit:
        with pytest.raises(BudgetExceeded) as by_key:
            await commit.authorize(await ask(organization, 100, cap_day_nanos=50))
        with pytest.raises(ProjectBudgetExceeded):
            await commit.authorize(await ask(organization, 200, cap_day_nanos=500))
        with pytest.raises(InsufficientFunds) as by_wallet:
            await commit.authorize(await ask(organization, 2_000))
    assert type(by_key.value) is BudgetExceeded
    assert type(by_wallet.value) is InsufficientFunds
    assert await Transfer.objects.filter(kind="usage").acount() == 0


async def test_a_new_month_begins_with_the_whole_budget(
    organization: Organization, tmp_path: Path
) -> None:
    project = await organization.projects.aget()
    await ProjectBudget.objects.acreate(
        project_id=project.pk, month=date(2020, 1, 1), month_nanos=150
    )
    async with commits.running(tmp_path) as commit:
        await commit.authorize(await ask(organization, 100))
    assert await spent(organization) == 100


async def test_a_hold_that_expires_gives_its_budget_back(
    organization: Organization, tmp_path: Path
) -> None:
    key = await sync_to_async(commits.make_key)(organization)
    async with commits.running(tmp_path) as commit:
        hold = await commit.authorize(await ask(organization, 100, key=key.pk))
    await Transfer.objects.filter(pk=hold.id).aupdate(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert await sync_to_async(ledger.expire_due)() == 1
    assert await spent(organization) == 0
