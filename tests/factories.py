"""The fixed cast and what surrounds it: alice owns, bob develops, bella pays, victor watches,
and charlie is outside with an organization of his own."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from factory.declarations import LazyFunction, Sequence, SubFactory
from factory.django import DjangoModelFactory
from factory.helpers import post_generation

from accounts import invitations, keys, members, organizations, projects
from accounts.models import ApiKey, Invitation, Membership, Organization, Role, User
from billing import ids, ledger, pricing, project_budgets, receipts, statements
from billing.models import (
    Account,
    Invoice,
    InvoiceLine,
    Issuer,
    LatencyDay,
    RollupWatermark,
    Transfer,
    TransferKind,
    TransferState,
    UsageDay,
    UsageHour,
    UsageRecord,
)
from providers.models import Model
from providers.usage import TokenUsage

USD = 10**9
PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        django_get_or_create = ("email",)
        skip_postgeneration_save = True

    email = Sequence(lambda n: f"person{n}@example.com")

    @post_generation
    def password(self: User, create: bool, extracted: str | None, **_: Any) -> None:
        self.set_password(extracted or PASSWORD)
        self.save(update_fields=["password"])


class OrganizationFactory(DjangoModelFactory[Organization]):
    """Made as sign-up makes it: with a project, a wallet, a plan and the welcome credit."""

    class Meta:
        model = Organization

    name = Sequence(lambda n: f"Organization {n}")
    owner = SubFactory(UserFactory)

    @classmethod
    def _create(cls, model_class: type[Organization], *args: Any, **kwargs: Any) -> Organization:
        return organizations.create(kwargs.pop("name"), kwargs.pop("owner"), **kwargs)


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    organization = SubFactory(OrganizationFactory)
    user = SubFactory(UserFactory)
    role = Role.DEVELOPER


class UsageRecordFactory(DjangoModelFactory[UsageRecord]):
    class Meta:
        model = UsageRecord

    id = LazyFunction(ids.uuid7)
    project_id = None
    api_key_id = None
    model = "qwen-turbo"
    provider = "alibaba"
    channel_id = None
    price_id = None
    markup_ppm = 1_000_000
    input_tokens = 1_000
    cached_input_tokens = 0
    cache_write_tokens = 0
    output_tokens = 200
    reasoning_output_tokens = 0
    charge_nanos = 90_000
    billing_reason = "completed"
    is_estimated = False
    is_stream = False
    status = 200
    error_code = ""
    attempts = 1
    first_token_ms = 220
    duration_ms = 1_400
    started_at = LazyFunction(timezone.now)
    xid = 0


@dataclass(frozen=True)
class Cast:
    """Everybody of the stories, and the two organizations."""

    alice: User
    bob: User
    bella: User
    victor: User
    charlie: User
    organization: Organization
    outside: Organization


def cast() -> Cast:
    people = {
        name: UserFactory.create(email=f"{name}@example.com")
        for name in ("alice", "bob", "bella", "victor", "charlie")
    }
    organization = OrganizationFactory.create(name="Acme Robotics", owner=people["alice"])
    outside = OrganizationFactory.create(name="Charlie's", owner=people["charlie"])
    for name, role in (
        ("bob", Role.DEVELOPER),
        ("bella", Role.BILLING),
        ("victor", Role.VIEWER),
    ):
        MembershipFactory.create(organization=organization, user=people[name], role=role)
    return Cast(**people, organization=organization, outside=outside)


def team(organization: Organization, mark: str) -> dict[str, int]:
    """Members, an invitation and projects with budgets, for looking at; ids of one of each."""
    owner = organization.memberships.get(role=Role.OWNER)
    made = {}
    for name, role in (("bob", Role.DEVELOPER), ("bella", Role.BILLING), ("victor", Role.VIEWER)):
        user = UserFactory.create(email=f"{name}-{mark}@example.com")
        made[name] = MembershipFactory.create(organization=organization, user=user, role=role)
    key(organization, "Notebook", created_by=made["bob"].user)
    invitations.invite(f"dora-{mark}@example.com", Role.DEVELOPER, by=owner)
    members.change_role(made["victor"], Role.ADMIN, by=owner)
    chatbot = projects.create(organization, "Chatbot")
    project_budgets.set_budget(organization.projects.earliest("pk"), 120 * USD)
    project_budgets.set_budget(chatbot, 25 * USD)
    Invitation.objects.update_or_create(
        digest=keys.digest("picture"),
        defaults={
            "organization": organization,
            "email": f"picture-{mark}@example.com",
            "invited_by": owner.user,
            "expires_at": timezone.now() + timedelta(days=5),
        },
    )
    return {"member": made["bob"].pk, "project": chatbot.pk}


def key(organization: Organization, name: str = "Backend", **options: Any) -> keys.NewKey:
    project = organization.projects.order_by("pk").first()
    assert project is not None
    return keys.create(project, name, **options)


def record(organization: Organization, **facts: Any) -> UsageRecord:
    """One request charged at the price in effect, as the gateway would have recorded it."""
    priced = _priced(facts)
    return UsageRecordFactory.create(organization_id=organization.pk, **priced)


def _priced(facts: dict[str, Any]) -> dict[str, Any]:
    model = Model.objects.filter(name=facts.get("model", "qwen-turbo")).first()
    price = model.prices.order_by("-effective_at").first() if model else None
    if price is None or "charge_nanos" in facts:
        return facts
    started_at = facts.setdefault("started_at", timezone.now())
    usage = TokenUsage(
        facts.setdefault("input_tokens", 1_000),
        facts.setdefault("cached_input_tokens", 0),
        0,
        facts.setdefault("output_tokens", 200),
        facts.setdefault("reasoning_output_tokens", 0),
    )
    version = receipts.version(price.pk)
    assert version is not None
    charge = pricing.charge(version, started_at, usage, facts.get("markup_ppm", 1_000_000))
    return facts | {"price_id": price.pk, "charge_nanos": charge}


def month_of_use(organization: Organization, days: int = 30, seed: int = 7) -> None:
    """A busy organization: rollups of `days`, recent requests, top-ups, keys and an invoice.

    Rollups and records are written as such, not run through the gateway: this is for looking at.
    """
    rng = random.Random(seed)
    made = [
        key(organization, name).row
        for name in ("Production backend", "Support bot", "Nightly jobs")
    ]
    _limit(made)
    models = {"qwen-plus": 0.9, "deepseek-chat": 0.62, "qwen-turbo": 0.34, "deepseek-reasoner": 0.3,
              "qwen-max": 0.21}  # fmt: skip
    now = timezone.now()
    for back in range(days):
        day = (now - timedelta(days=back)).date()
        rhythm = 0.45 if day.weekday() >= 5 else 1.0
        growth = 1 - back / (days * 1.6)
        for model, share in models.items():
            if model == "deepseek-reasoner" and back > days * 0.6:
                continue
            size = rhythm * growth * share * rng.uniform(0.75, 1.3)
            _roll(organization, rng.choice(made), model, day, size, now if back == 0 else None)
    for minutes in (1, 2, 4, 9, 11, 16, 31, 44, 52, 75, 96, 130, 190, 260, 420):
        _request(organization, rng, made, models, now - timedelta(minutes=minutes))
    for back in range(days):
        for bucket in range(28, 42):
            LatencyDay.objects.create(
                organization_id=organization.pk,
                day=(now - timedelta(days=back)).date(),
                bucket=bucket,
                requests=rng.randrange(1, 6 * (bucket - 27) if bucket < 35 else 6 * (43 - bucket)),
            )
    wallet = ledger.open_wallet(organization)
    ledger.credit(wallet, 250 * USD, kind=TransferKind.TOP_UP, reason="Bank transfer 2026-1107")
    _spend(wallet, organization)
    _invoice(organization, now)


def _limit(made: list[ApiKey]) -> None:
    now = timezone.now()
    made[0].last_used_at = now - timedelta(seconds=40)
    made[1].last_used_at = now - timedelta(minutes=11)
    made[1].allowed_models = ["qwen-turbo", "qwen-plus"]
    made[1].spend_cap_day_nanos = 5 * USD
    made[2].last_used_at = now - timedelta(hours=7)
    made[2].allowed_addresses = ["203.0.113.0/24"]
    made[2].expires_at = now + timedelta(days=60)
    for row in made:
        row.created_at = now - timedelta(days=24)
        row.save()


def _roll(
    organization: Organization, row: ApiKey, model: str, day: Any, size: float, now: datetime | None
) -> None:
    requests = int(900 * size) + 1
    figures: dict[str, Any] = {
        "project_id": row.project_id,
        "api_key_id": row.pk,
        "model": model,
        "requests": requests,
        "errors": requests // 120,
        "input_tokens": requests * 840,
        "cached_input_tokens": requests * 310,
        "output_tokens": requests * 260,
        "reasoning_output_tokens": requests * 410 if model == "deepseek-reasoner" else 0,
        "charge_nanos": int(size * 2.3 * USD) + 417,
    }
    organization_id = organization.pk
    UsageDay.objects.create(organization_id=organization_id, day=day, **figures)
    if now:
        hour = now.replace(minute=0, second=0, microsecond=0)
        UsageHour.objects.create(organization_id=organization_id, hour=hour, **figures)


def _request(
    organization: Organization,
    rng: random.Random,
    made: list[ApiKey],
    models: dict[str, float],
    started_at: datetime,
) -> None:
    row, model = rng.choice(made), rng.choice(list(models))
    failed = rng.random() < 0.12
    facts: dict[str, Any] = {
        "id": ids.uuid7(),
        "project_id": row.project_id,
        "api_key_id": row.pk,
        "model": model,
        "provider": "deepseek" if model.startswith("deepseek") else "alibaba",
        "input_tokens": 0 if failed else rng.randrange(200, 6_000),
        "cached_input_tokens": 0 if failed else rng.randrange(0, 2_000),
        "output_tokens": 0 if failed else rng.randrange(20, 900),
        "reasoning_output_tokens": rng.randrange(100, 800) if model.endswith("reasoner") else 0,
        "is_stream": rng.random() < 0.7,
        "duration_ms": rng.randrange(400, 14_000),
        "started_at": started_at,
        "charged_at": started_at + timedelta(seconds=3),
        "attempts": 2 if failed else 1,
    }
    if failed:
        facts |= {
            "status": 502,
            "billing_reason": "upstream_failed",
            "error_code": "upstream_unavailable",
            "charge_nanos": 0,
            "reasoning_output_tokens": 0,
            "first_token_ms": None,
        }
    # Ids order the list, so they carry the time the request is said to have started.
    millis = int(started_at.timestamp() * 1000)
    plain = facts["id"].int & ((1 << 80) - 1)
    facts["id"] = type(facts["id"])(int=millis << 80 | plain)
    record(organization, **facts)


def _spend(wallet: Account, organization: Organization) -> None:
    """What the rollups say was charged, as one posted transfer, and something in flight."""
    spent = sum(UsageDay.objects.filter(organization_id=organization.pk).values_list(
        "charge_nanos", flat=True))  # fmt: skip
    charge(wallet, spent)
    Account.objects.filter(pk=wallet.pk).update(debits_pending=41_230_000)
    revenue = Account.objects.get(kind="revenue")
    Transfer.objects.create(
        id=ids.uuid7(),
        debit_account=wallet,
        credit_account=revenue,
        kind=TransferKind.USAGE,
        state=TransferState.PENDING,
        held_nanos=41_230_000,
        expires_at=timezone.now() + timedelta(days=1),
    )


def charge(wallet: Account, nanos: int) -> None:
    """Usage of that much, without a request behind it."""
    with connection.cursor() as cursor:
        excess: dict[str, Any] = {
            "id": ids.excess_of(ids.uuid7()),
            "wallet": wallet.pk,
            "amount": nanos,
            "key": None,
        }
        cursor.execute(statements.POST_EXCESS, excess)


def _invoice(organization: Organization, now: datetime) -> None:
    month = (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
    last = Invoice.objects.order_by("-number").first()
    issuer = Issuer.default()
    invoice = Invoice.objects.create(
        issuer=issuer,
        number=last.number + 1 if last else 1,
        organization=organization,
        month=month,
        total_nanos=45_312_118_204,
        total_minor=4_531,
        seller={"code": issuer.code, "name": issuer.name, "country": "DE"},
        buyer={"company": organization.name, "country": "DE"},
        finalized_at=datetime.combine(now.date().replace(day=1), datetime.min.time(), UTC),
    )
    for project, model, requests, amount in (
        ("Default", "deepseek-chat", 18_202, 12_004_118_000),
        ("Default", "qwen-plus", 21_420, 30_808_000_204),
        ("Default", "qwen-turbo", 9_441, 2_500_000_000),
    ):
        InvoiceLine.objects.create(
            invoice=invoice,
            project_name=project,
            model=model,
            requests=requests,
            input_tokens=requests * 910,
            output_tokens=requests * 233,
            amount_nanos=amount,
        )
    RollupWatermark.objects.get_or_create(pk=1)
