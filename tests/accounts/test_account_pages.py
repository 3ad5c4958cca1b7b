"""A person's own settings: every page, and what each changes."""

import re
from collections.abc import Iterator

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import mail, users
from accounts.models import AuditEntry, SeenDevice, User
from tests import factories

pytestmark = pytest.mark.django_db

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1"
ODD_CREDENTIALS = (
    "",
    "x",
    "[]",
    "1",
    '{"id": 1}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "e30",'
    ' "authenticatorData": "AA", "signature": "AA", "userHandle": "MQ"}}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "AA",'
    ' "attestationObject": "AA"}}',
)


@pytest.fixture(autouse=True)
def fresh_limits():
    cache.clear()


@pytest.fixture
def standing_still() -> Iterator[None]:
    """Limits count by the minute: here it does not end between two requests."""
    with time_machine.travel(timezone.now(), tick=False):
        yield


@pytest.fixture
def alice() -> User:
    alice = factories.cast().alice
    users.verify(alice)
    return alice


def sign_in(user: User, agent: str = CHROME, address: str = "203.0.113.9") -> Client:
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    answer = client.post("/accounts/login/", {"login": user.email, "password": factories.PASSWORD})
    assert answer.status_code == 302, answer.content.decode()
    return client


def confirm(client: Client, path: str) -> None:
    """What protects the account asks for the password again."""
    answer = client.get(path)
    assert answer.headers["Location"].startswith("/account/confirm?")
    done = client.post(answer.headers["Location"], {"password": factories.PASSWORD})
    assert done.status_code == 302, done.content.decode()


def code(secret: str) -> str:
    [_before, now, _after] = list(yield_hotp_counters_from_time())
    return format_hotp_value(hotp_value(secret, now))


def add_app(client: Client) -> str:
    confirm(client, "/account/two-factor/app")
    page = client.get("/account/two-factor/app")
    secret = page.context["form"].secret
    answer = client.post("/account/two-factor/app", {"code": code(secret)})
    assert answer.headers["Location"] == "/account/two-factor/codes"
    return secret


@pytest.mark.parametrize(
    "path",
    ["/account", "/account/email", "/account/password", "/account/two-factor", "/account/sessions"],
)
def test_every_settings_page_opens_and_is_kept_by_no_cache(alice, path):
    client = sign_in(alice)
    page = client.get(path)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "private, no-store"
    assert 'aria-current="page"' in page.content.decode()
    assert " style=" not in page.content.decode()


@pytest.mark.parametrize(
    "path", ["/account", "/account/two-factor", "/account/sessions", "/account/passkeys/add"]
)
def test_a_stranger_is_sent_to_sign_in(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/login/")


def test_a_person_without_an_organization_has_an_account_all_the_same(client):
    client.force_login(factories.UserFactory.create())
    assert "You belong to no organization" in client.get("/account").content.decode()


def test_name_and_language_are_kept_and_the_pages_speak_it(alice):
    client = sign_in(alice)
    answer = client.post("/account", {"name": "Alice A.", "language": "zh-hans"})
    assert answer.headers["Location"] == "/account"
    alice.refresh_from_db()
    assert (alice.name, alice.language) == ("Alice A.", "zh-hans")
    assert 'lang="zh-hans"' in client.get("/account").content.decode()
    elsewhere = sign_in(alice, SAFARI)
    assert 'lang="zh-hans"' in elsewhere.get("/account").content.decode()
    assert client.post("/account", {"name": "x", "language": "xx"}).status_code == 422


def test_a_new_address_takes_effect_when_it_is_confirmed(alice, mailoutbox):
    client = sign_in(alice)
    confirm_first = client.post("/account/email", {"action_add": "", "email": "new@example.com"})
    assert confirm_first.headers["Location"].startswith("/account/confirm?")
    client.post(confirm_first.headers["Location"], {"password": factories.PASSWORD})
    mail.deliver()
    [message] = [one for one in mailoutbox if one.to == ["new@example.com"]]
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    assert "waits to be confirmed" in client.get("/account/email").content.decode()
    [link] = re.findall(r"http\S+(/accounts/confirm-email/\S+)", message.body)
    assert client.post(link).headers["Location"] == "/account/email"
    alice.refresh_from_db()
    assert alice.email == "new@example.com"
    assert list(EmailAddress.objects.values_list("email", flat=True)) == ["new@example.com"]
    mail.deliver()
    assert mailoutbox[-1].to == ["alice@example.com"]
    assert "new@example.com" in mailoutbox[-1].subject


def test_a_changed_password_ends_other_sessions_and_is_mailed(alice, mailoutbox):
    here, there = sign_in(alice), sign_in(alice, SAFARI)
    new = "a different long secret"
    typed = {"oldpassword": factories.PASSWORD, "password1": new, "password2": new}
    assert here.post("/account/password", typed).status_code == 302
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 302
    mail.deliver()
    assert "password was changed" in mailoutbox[-1].subject


def test_an_app_is_added_with_a_right_code_and_asked_for_at_sign_in(
    alice, mailoutbox, django_capture_on_commit_callbacks
):
    client = sign_in(alice)
    with django_capture_on_commit_callbacks(execute=True):
        secret = add_app(client)
    stored = Authenticator.objects.get(user=alice, type="totp").data["secret"]
    assert secret not in stored, "encrypted at rest"
    codes = client.get("/account/two-factor/codes").context["unused_codes"]
    assert len(codes) == 10
    assert codes[0] in client.get("/account/two-factor/codes/file").content.decode()
    mail.deliver()
    assert any("authenticator app was added" in one.subject for one in mailoutbox)
    assert AuditEntry.objects.filter(
        action="account.second_factor_added", target=alice.email
    ).exists()

    other = Client()
    answer = other.post("/accounts/login/", {"login": alice.email, "password": factories.PASSWORD})
    assert answer.headers["Location"] == "/accounts/code/"
    assert other.get("/account").status_code == 302, "the password alone opens nothing"
    assert "Incorrect code" in other.post("/accounts/code/", {"code": "000000"}).content.decode()
    assert other.post("/accounts/code/", {"code": codes[0]}).status_code == 302
    assert other.get("/account").status_code == 200

    third = Client()
    third.post("/accounts/login/", {"login": alice.email, "password": factories.PASSWORD})
    again = third.post("/accounts/code/", {"code": codes[0]})
    assert again.status_code == 200, "a recovery code works once"


def test_a_wrong_code_adds_no_app(alice):
    client = sign_in(alice)
    confirm(client, "/account/two-factor/app")
    client.get("/account/two-factor/app")
    page = client.post("/account/two-factor/app", {"code": "000000"})
    assert "Incorrect code" in page.content.decode()
    assert not Authenticator.objects.exists()


def test_an_app_is_removed_with_its_recovery_codes(alice):
    client = sign_in(alice)
    add_app(client)
    assert client.get("/account/two-factor/app/remove").status_code == 200
    client.post("/account/two-factor/app/remove")
    assert not Authenticator.objects.exists()


def test_the_second_step_is_limited_with_429(alice, standing_still):
    add_app(sign_in(alice))
    client = Client()
    client.post("/accounts/login/", {"login": alice.email, "password": factories.PASSWORD})
    answers = [client.post("/accounts/code/", {"code": "1"}) for _ in range(21)]
    assert "Too many" in answers[10].content.decode()
    assert answers[-1].status_code == 429


@pytest.mark.parametrize(
    ("path", "times"),
    [("/accounts/signup/", 21), ("/accounts/password/reset/", 11), ("/accounts/passkey/", 21)],
)
def test_entrances_are_limited_with_429(client, path, times, standing_still):
    statuses = [client.post(path, {"email": "x"}).status_code for _ in range(times)]
    assert statuses[-1] == 429
    assert statuses[0] != 429


def test_a_passkey_page_asks_for_one_that_signs_in_alone(alice):
    client = sign_in(alice)
    confirm(client, "/account/passkeys/add")
    page = client.get("/account/passkeys/add")
    assert 'id="passkey-options"' in page.content.decode()
    for odd in ODD_CREDENTIALS:
        wrong = client.post(
            "/account/passkeys/add", {"name": "x", "passwordless": "on", "credential": odd}
        )
        assert wrong.status_code == 200, odd
    assert not Authenticator.objects.exists()


def test_a_passkey_that_was_made_up_signs_nobody_in(client):
    client.get("/accounts/passkey/", headers={"accept": "application/json"})
    for odd in ODD_CREDENTIALS:
        answer = client.post("/accounts/passkey/", {"credential": odd})
        assert answer.headers["Location"] == "/accounts/login/", odd


def test_a_passkey_of_somebody_else_does_not_exist(alice):
    theirs = Authenticator.objects.create(
        user=User.objects.get(email="charlie@example.com"), type="webauthn",
        data={"name": "Charlie's", "credential": {}},
    )  # fmt: skip
    client = sign_in(alice)
    confirm(client, f"/account/passkeys/{theirs.pk}/remove")
    assert client.post(f"/account/passkeys/{theirs.pk}/remove").status_code == 404
    assert client.get(f"/account/passkeys/{theirs.pk}/name").status_code == 404
    assert Authenticator.objects.filter(pk=theirs.pk).exists()


def test_sessions_are_listed_and_ended_one_by_one_or_all_but_this(alice):
    here, phone, third = sign_in(alice), sign_in(alice, SAFARI), sign_in(alice)
    page = here.get("/account/sessions").content.decode()
    assert "Chrome on Linux" in page
    assert "Safari on iPhone" in page
    assert "203.0.113.9" in page
    row = UserSession.objects.get(session_key=phone.session.session_key)
    here.post("/account/sessions/end", {"session": row.pk})
    assert phone.get("/account").status_code == 302
    assert third.get("/account").status_code == 200
    here.post("/account/sessions/end", {"session": "others"})
    assert third.get("/account").status_code == 302
    assert here.get("/account").status_code == 200


def test_a_session_of_somebody_else_is_not_ended(alice):
    other = User.objects.get(email="charlie@example.com")
    users.verify(other)
    charlie = sign_in(other)
    row = UserSession.objects.get(session_key=charlie.session.session_key)
    sign_in(alice).post("/account/sessions/end", {"session": row.pk})
    assert charlie.get("/account").status_code == 200
    for odd in ("", "x", "-1", "9" * 30):
        assert charlie.post("/account/sessions/end", {"session": odd}).status_code == 302


def test_a_person_keeps_a_bounded_number_of_sessions(alice, monkeypatch):
    monkeypatch.setattr("accounts.sessions.SESSIONS_MAX", 2)
    first, second, third = (sign_in(alice) for _ in range(3))
    assert first.get("/account").status_code == 302
    assert second.get("/account").status_code == third.get("/account").status_code == 200


def test_a_sign_in_from_somewhere_new_is_mailed_and_a_known_one_is_not(alice, mailoutbox):
    for agent, address, mails in (
        (CHROME, "203.0.113.9", 0),  # the first ever
        (CHROME, "203.0.113.77", 0),  # the same neighbourhood
        (SAFARI, "203.0.113.9", 1),
        (CHROME, "198.51.100.1", 2),
        (SAFARI, "203.0.113.9", 2),
    ):
        sign_in(alice, agent, address)
        mail.deliver()
        assert len(mailoutbox) == mails, (agent, address)
    assert mailoutbox[0].to == ["alice@example.com"]
    assert "Safari on iPhone" in mailoutbox[0].body
    assert SeenDevice.objects.filter(user=alice).count() == 3


def test_a_mail_server_that_is_away_delays_no_sign_in(alice, monkeypatch):
    def fail(*_: object) -> int:
        raise AssertionError("a page sent mail")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", fail)
    sign_in(alice)
    sign_in(alice, SAFARI)


def test_operators_pass_the_second_step_too(client):
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.headers["Location"].startswith("/accounts/login/")


def test_password_managers_find_the_page_that_changes_it(client):
    assert client.get("/.well-known/change-password").headers["Location"] == "/account/password"
