import json
import os
import stat
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Organization, User
from billing.models import Account, Transfer
from providers import seed
from providers.models import Channel
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(capsys):
    """Run a command with --json; returns its one object. Nothing else may be on stdout."""

    def _run(name: str, *arguments: str):
        call_command(name, *arguments, "--json")
        return json.loads(capsys.readouterr().out)

    return _run


@pytest.fixture
def acme(run) -> Organization:
    run("create_organization", "Acme", "--owner", "alice@example.com", "--credit", "10.00")
    return Organization.objects.get(slug="acme")


def _balance(organization: Organization) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def test_create_organization_makes_owner_wallet_plan_and_project(run) -> None:
    answer = run("create_organization", "Acme", "--owner", "Alice@Example.com", "--plan", "pro") | {
        "id": 0
    }
    assert answer["organization"] == "acme"
    assert answer["plan"] == "pro"
    owner = authenticate(email="alice@example.com", password=answer["password"])
    assert owner is not None
    assert EmailAddress.objects.get(user=owner).verified
    organization = Organization.objects.get(slug="acme")
    assert organization.memberships.get().role == "owner"
    assert organization.projects.get().name == "Default"


def test_create_organization_keeps_an_existing_owners_password(run, acme) -> None:
    before = User.objects.get(email="alice@example.com").password
    answer = run("create_organization", "Second", "--owner", "ALICE@example.com")
    assert answer["password"] is None
    assert User.objects.get().password == before


def test_create_organization_credits_exactly_what_is_said(run, acme) -> None:
    assert _balance(acme) == 10 * scenes.USD
    answer = run("create_organization", "None", "--owner", "b@example.com", "--credit", "0")
    assert answer["balance_nanos"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("Acme", "--owner", "nobody"),
        ("Acme", "--owner", "a@example.com", "--plan", "gold"),
        ("Acme", "--owner", "a@example.com", "--credit", "-1"),
        ("Acme", "--owner", "a@example.com", "--credit", "NaN"),
        ("  ", "--owner", "a@example.com"),
        ("x" * 101, "--owner", "a@example.com"),
        ("Acme",),
    ],
)
def test_create_organization_refuses_bad_input_and_makes_nothing(arguments) -> None:
    with pytest.raises(CommandError):
        call_command("create_organization", *arguments)
    assert not Organization.objects.exists() and not User.objects.exists()


def test_create_key_prints_a_key_that_opens_the_door(run, acme) -> None:
    seed.plant({})
    answer = run(
        "create_key",
        "acme",
        *("--project", "Side", "--name", "ci", "--models", "qwen-plus, qwen-max"),
        *("--addresses", "10.1.2.3/8,::1", "--expires", "30d"),
        *("--day-cap", "1.5", "--month-cap", "20", "--rpm", "5", "--tpm", "600"),
    )
    key = ApiKey.objects.get(digest=keys.digest(answer["api_key"]))
    assert keys.is_well_formed(answer["api_key"])
    assert (key.organization, key.project.name, key.name) == (acme, "Side", "ci")
    assert key.allowed_models == ["qwen-plus", "qwen-max"]
    assert key.allowed_addresses == ["10.0.0.0/8", "::1"]
    assert key.expires_at is not None
    assert abs(key.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert (key.spend_cap_day_nanos, key.spend_cap_month_nanos) == (1_500_000_000, 20 * scenes.USD)
    assert (key.requests_per_minute, key.tokens_per_minute) == (5, 600)


def test_create_key_makes_test_keys_and_reads_iso_times(run, acme) -> None:
    answer = run("create_key", "Acme", "--test", "--expires", "2099-01-31")
    assert answer["api_key"].startswith("ttonk_sk_test_")
    assert answer["expires_at"] == "2099-01-31T00:00:00+00:00"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nobody",),
        ("acme", "--models", "gpt-9"),
        ("acme", "--addresses", "somewhere"),
        ("acme", "--expires", "2001-01-01"),
        ("acme", "--expires", "2099-02-31"),
        ("acme", "--expires", "soon"),
        ("acme", "--day-cap", "0"),
        ("acme", "--rpm", "0"),
        ("acme", "--tpm", "-5"),
        ("acme", "--rpm", "99999999999"),
        ("acme", "--name", ""),
    ],
)
def test_create_key_refuses_bad_input_and_makes_nothing(acme, arguments) -> None:
    with pytest.raises(CommandError):
        call_command("create_key", *arguments)
    assert not ApiKey.objects.exists()


def test_top_up_credits_the_wallet_and_says_why(run, acme) -> None:
    answer = run("top_up", "acme", "0.000000001", "--reason", "wire 77")
    assert answer["balance_nanos"] == 10 * scenes.USD + 1
    transfer = Transfer.objects.get(pk=answer["transfer"])
    assert (transfer.kind, transfer.reason, transfer.amount_nanos) == ("top_up", "wire 77", 1)


def test_top_up_with_the_same_idempotency_key_credits_once(run, acme) -> None:
    arguments = ("top_up", "acme", "5", "--reason", "wire", "--idempotency-key", "pay_1")
    assert run(*arguments)["transfer"] == run(*arguments)["transfer"]
    assert _balance(acme) == 15 * scenes.USD


@pytest.mark.parametrize("amount", ["0", "-5", "nan", "Infinity", "1e9", "0.0000000001", "5,00"])
def test_top_up_refuses_what_is_no_amount(acme, amount: str) -> None:
    with pytest.raises(CommandError):
        call_command("top_up", "acme", "--reason", "x", "--", amount)
    assert _balance(acme) == 10 * scenes.USD


def test_an_ambiguous_name_is_refused_with_the_choices(run, acme) -> None:
    second = run("create_organization", "Acme Two", "--owner", "b@example.com")
    Organization.objects.update(name="Same")
    with pytest.raises(CommandError, match=f"acme.*{second['organization']}|several"):
        call_command("top_up", "Same", "1", reason="x")


def test_set_plan_is_free_unless_the_fee_is_asked_for(run, acme) -> None:
    assert run("set_plan", "acme", "business")["tokens_per_minute"] is None
    assert _balance(acme) == 10 * scenes.USD
    run("set_plan", "acme", "starter")
    with time_machine.travel(timezone.now().replace(day=1), tick=False):
        with pytest.raises(CommandError, match=r"20\.00 USD, and only 10\.00"):
            call_command("set_plan", "acme", "pro", "--charge-fee")
        run("top_up", "acme", "15", "--reason", "x")
        assert run("set_plan", "acme", "pro", "--charge-fee")["plan"] == "pro"
    assert _balance(acme) == 5 * scenes.USD


def test_add_channel_stores_the_credential_encrypted(run, monkeypatch) -> None:
    seed.plant({})
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    arguments = [
        *("add_channel", "qwen-max", "--base-url", "http://127.0.0.1:9/v1/"),
        *("--upstream-model", "m", "--credential-env", "MY_KEY", "--weight", "3"),
    ]
    answer = run(*arguments)
    assert "sk-secret-1" not in json.dumps(answer)
    channel = Channel.objects.get(pk=answer["channel"])
    assert (channel.base_url, channel.weight) == ("http://127.0.0.1:9/v1", 3)
    assert (channel.credential, channel.provider.slug) == ("sk-secret-1", "custom")
    with connection.cursor() as cursor:
        cursor.execute("SELECT credential FROM providers_channel WHERE id = %s", [channel.pk])
        assert "sk-secret-1" not in cursor.fetchone()[0]
    monkeypatch.setenv("MY_KEY", "sk-secret-2")
    again = run(*arguments)
    assert (again["channel"], again["is_new"]) == (channel.pk, False)
    assert Channel.objects.get(pk=channel.pk).credential == "sk-secret-2"


def test_add_channel_takes_a_local_stand_ins_place(run, settings) -> None:
    settings.LOCAL_FALLBACK, settings.LOCAL_MODEL_URL = True, "http://127.0.0.1:1/v1"
    seed.plant({})
    run("add_channel", "qwen-max", "--base-url", "http://127.0.0.1:9/v1")
    assert not Channel.objects.filter(model__name="qwen-max", is_local_stand_in=True).exists()
    assert Channel.objects.filter(model__name="qwen-plus", is_local_stand_in=True).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("gpt-9", "--base-url", "http://127.0.0.1:9/v1"),
        ("qwen-max", "--base-url", "ftp://127.0.0.1/v1"),
        ("qwen-max", "--base-url", "not a url"),
        ("qwen-max", "--base-url", "http://127.0.0.1:9/v1", "--credential-env", "UNSET_NAME"),
        ("qwen-max", "--base-url", "http://127.0.0.1:9/v1", "--provider", "nobody"),
        ("qwen-max", "--base-url", "http://127.0.0.1:9/v1", "--weight", "0"),
        ("qwen-max", "--base-url", "http://127.0.0.1:9/v1", "--weight", "40000"),
    ],
)
def test_add_channel_refuses_bad_input_and_makes_nothing(arguments) -> None:
    seed.plant({})
    with pytest.raises(CommandError):
        call_command("add_channel", *arguments)
    assert not Channel.objects.exists()


@pytest.fixture
def seed_file(tmp_path, monkeypatch):
    path = tmp_path / "seed.json"
    monkeypatch.setenv("TTONK_SEED_FILE", str(path))
    monkeypatch.delenv("TTONK_OPERATOR_PASSWORD", raising=False)
    return path


def test_seed_local_makes_a_sign_in_and_a_key_and_reuses_them(run, seed_file) -> None:
    answer = run("seed_local")
    operator = authenticate(email=answer["email"], password=answer["password"])
    assert operator is not None and operator.is_superuser
    assert ApiKey.objects.get(digest=keys.digest(answer["api_key"])).organization.slug == "demo"
    assert stat.S_IMODE(os.stat(seed_file).st_mode) == 0o600
    assert run("seed_local") == answer
    assert ApiKey.objects.count() == 1


def test_seed_local_replaces_a_key_that_is_lost_or_revoked(run, seed_file) -> None:
    first = run("seed_local")
    seed_file.unlink()
    second = run("seed_local")
    assert second["api_key"] != first["api_key"]
    assert not ApiKey.objects.get(digest=keys.digest(first["api_key"])).is_live
    keys.revoke(ApiKey.objects.get(digest=keys.digest(second["api_key"])))
    assert run("seed_local")["api_key"] != second["api_key"]


def test_seed_local_never_shows_a_password_that_does_not_sign_in(run, seed_file) -> None:
    answer = run("seed_local")
    operator = User.objects.get(email=answer["email"])
    operator.set_password("chosen since")
    operator.save()
    assert run("seed_local")["password"] is None


def test_seed_local_takes_the_password_it_is_given(run, seed_file, monkeypatch) -> None:
    run("seed_local")
    monkeypatch.setenv("TTONK_OPERATOR_PASSWORD", "given from outside")
    assert run("seed_local")["password"] == "given from outside"
    assert authenticate(email="operator@localhost", password="given from outside") is not None


def test_rebuild_rollups_answers_with_its_count(run) -> None:
    assert run("rebuild_rollups") == {"records": 0}


def test_without_json_the_answer_is_lines_to_read(acme, capsys) -> None:
    call_command("top_up", "acme", "2.50", reason="x")
    assert "amount usd: 2.50\n" in capsys.readouterr().out


@pytest.mark.parametrize("by", ["id", "secret"])
def test_revoke_key_closes_it_once(run, acme, by: str) -> None:
    made = keys.create(acme.projects.get(), "Leaked")
    name = made.secret if by == "secret" else str(made.row.pk)
    first, again = run("revoke_key", name), run("revoke_key", name)
    assert (first["was_open"], again["was_open"]) == (True, False)
    assert first["revoked_at"] == again["revoked_at"]
    assert first["organization"] == "acme"
    made.row.refresh_from_db()
    assert made.row.revoked_at is not None


@pytest.mark.parametrize("name", ["0", "x", "99999999999999999999", "a stranger's key"])
def test_revoke_key_refuses_what_is_no_key_and_does_not_repeat_it(acme, name: str) -> None:
    if name == "a stranger's key":
        name = keys.generate()
    with pytest.raises(CommandError, match=r"^there is no such key$"):
        call_command("revoke_key", name)


def test_an_organization_is_suspended_and_resumed_once(run, acme) -> None:
    suspended = run("suspend_organization", "acme")
    assert suspended["is_changed"]
    again = run("suspend_organization", "Acme")
    assert not again["is_changed"]
    assert again["suspended_at"] == suspended["suspended_at"]
    assert run("resume_organization", "acme") == {
        "organization": "acme",
        "is_changed": True,
        "suspended_at": None,
    }
    assert not run("resume_organization", "acme")["is_changed"]
    acme.refresh_from_db()
    assert acme.suspended_at is None
