"""Every mail that the product promises: sent by what really causes it, in text and HTML, in the
reader's language."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.db.models import F
from django.test import Client

from accounts import mail, users
from accounts.models import Organization, OutgoingMail, User
from billing import invoices, ledger, renewals, spend_caps, subscriptions, tasks
from billing.models import Account, Plan, TransferKind, UsageDay
from tests import factories
from tests.billing import scenes

USD = scenes.USD
NOVEMBER = datetime(2026, 11, 1, 9, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 0, 10, tzinfo=UTC)


@pytest.fixture
def organization(db: None) -> Organization:
    cache.clear()
    return scenes.make_organization(credit_nanos=30 * USD)


def member(organization: Organization) -> Client:
    """alice at her dashboard, in her language, from a browser that is known."""
    client = Client(headers={"accept-language": _alice().language})
    client.force_login(_alice())
    return client


def _alice() -> User:
    return users.find_or_create("alice@example.com").user


def sign_up(organization: Organization) -> None:
    form = {"email": "new@example.com", "password1": "a long enough secret", "organization": "New"}
    Client(headers={"accept-language": _alice().language}).post("/accounts/signup/", form)


def reset(organization: Organization) -> None:
    member(organization).post("/accounts/password/reset/", {"email": "alice@example.com"})


def sign_in(organization: Organization) -> None:
    alice = _alice()
    alice.set_password(factories.PASSWORD)
    alice.save()
    EmailAddress.objects.update_or_create(
        user=alice, email=alice.email, defaults={"verified": True, "primary": True}
    )
    form = {"login": alice.email, "password": factories.PASSWORD}
    for agent in ("Firefox/143.0 Linux", "Chrome/140 Windows NT 10.0"):
        Client(headers={"user-agent": agent}).post("/accounts/login/", form)


def invite(organization: Organization) -> None:
    form = {"email": "guest@example.com", "role": "viewer"}
    # The guest is known, and reads what they chose.
    guest = users.find_or_create("guest@example.com").user
    User.objects.filter(pk=guest.pk).update(language=_alice().language)
    member(organization).post("/settings/members/invite", form)


def make_key(organization: Organization) -> None:
    form = {"name": "Nightly", "project": organization.projects.get().pk}
    member(organization).post("/keys/new", form)


def run_low(organization: Organization) -> None:
    ledger.debit(ledger.open_wallet(organization), 30 * USD - 1, kind=TransferKind.ADJUSTMENT)
    tasks.mail_low_balances()


def reach_an_alert(organization: Organization) -> None:
    member(organization).post("/billing/limits", {"threshold_nanos": "2"})
    UsageDay.objects.create(organization_id=organization.pk, model="m", charge_nanos=2 * USD,
                            day=datetime.now(UTC).date())  # fmt: skip
    tasks.mail_spend_alerts()


def reach_the_cap(organization: Organization) -> None:
    member(organization).post("/billing/limits/cap", {"cap_nanos": "1"})
    scenes.execute(spend_caps.NOTE_REACHED, [organization.pk])  # as a gateway does
    tasks.mail_spend_caps()


def be_invoiced(organization: Organization) -> None:
    scenes.charge_at(scenes.use(organization), datetime(2001, 3, 5, tzinfo=UTC))
    invoices.close_month(date(2001, 3, 1))


def _on_pro(organization: Organization) -> None:
    Plan.objects.filter(slug="pro").update(fee_nanos_per_month=20 * USD)
    subscriptions.change_plan(organization, Plan.objects.get(slug="pro"))
    Account.objects.filter(organization=organization).update(credits_posted=F("debits_posted"))


def owe_a_fee(organization: Organization) -> None:
    with time_machine.travel(NOVEMBER, tick=False) as clock:
        _on_pro(organization)
        clock.move_to(DECEMBER)
        renewals.run()


def fall_back(organization: Organization) -> None:
    with time_machine.travel(NOVEMBER, tick=False) as clock:
        _on_pro(organization)
        for day in (0, 1, 4, 11):
            clock.move_to(DECEMBER + timedelta(days=day, minutes=5))
            renewals.run()


def end_a_trial(organization: Organization) -> None:
    with time_machine.travel(NOVEMBER, tick=False) as clock:
        Plan.objects.filter(slug="pro").update(trial_days=7, fee_nanos_per_month=50 * USD)
        subscriptions.change_plan(organization, Plan.objects.get(slug="pro"))
        clock.move_to(NOVEMBER + timedelta(days=8))
        renewals.run()


Trigger = Callable[[Organization], None]
# What happens, to whom the mail goes, and words of its subject in either language.
MAILS: list[tuple[Trigger, str, str, str]] = [
    (sign_up, "new@example.com", "Confirm your email address", "确认"),
    (reset, "alice@example.com", "password", "密码"),
    (sign_in, "alice@example.com", "New sign-in", "登录"),
    (invite, "guest@example.com", "You are invited to join", "邀请"),
    (make_key, "alice@example.com", "key", "密钥"),
    (run_low, "alice@example.com", "Low balance", "余额"),
    (reach_an_alert, "alice@example.com", "has used $2.00 this month", "本月"),
    (reach_the_cap, "alice@example.com", "Monthly spend cap reached", "每月花费上限"),
    (be_invoiced, "alice@example.com", "nvoice", "账单"),
    (owe_a_fee, "alice@example.com", "could not be paid", "未能支付"),
    (fall_back, "alice@example.com", "is on Starter now", "Starter"),
    (end_a_trial, "alice@example.com", "trial", "试用"),
]


@pytest.mark.parametrize(("trigger", "to", "english", "chinese"), MAILS)
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_it_is_sent_by_its_cause_in_text_and_html_in_the_readers_language(
    organization: Organization, mailoutbox, language: str, trigger: Trigger, to: str,
    english: str, chinese: str,
) -> None:  # fmt: skip
    User.objects.filter(pk=_alice().pk).update(language=language)
    trigger(organization)
    assert OutgoingMail.objects.exists(), "kept as a row with what caused it"
    with time_machine.travel(datetime.now(UTC) + timedelta(days=90)):
        mail.deliver()
    words = english if language == "en" else chinese
    found = [one for one in mailoutbox if one.to == [to] and words in one.subject]
    assert found, [(one.to, one.subject) for one in mailoutbox]
    message = found[-1]
    [(html, kind)] = message.alternatives
    assert kind == "text/html" and "<html" in html and f'lang="{language}' in html.lower()
    assert message.body.strip() and "<" not in message.body.replace("<http", "")
    is_chinese = any("\u4e00" <= letter <= "\u9fff" for letter in message.body)
    assert is_chinese == (language == "zh-hans")


def test_the_table_names_every_mail_the_issue_asks_for() -> None:
    """Verification, invitation, low balance, invoice, key created, new sign-in, plan, cap."""
    causes = {trigger.__name__ for trigger, *_ in MAILS}
    assert {"sign_up", "invite", "run_low", "be_invoiced", "make_key", "sign_in", "owe_a_fee",
            "fall_back", "end_a_trial", "reach_the_cap"} <= causes  # fmt: skip
