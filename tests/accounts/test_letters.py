"""What the mails about an account say."""

from pathlib import Path

import allauth
import pytest
from django.utils import timezone

from accounts import keys, letters, mail
from accounts.devices import Device, browser
from accounts.models import OutgoingMail
from tests import factories

FACTS = {
    "email": "dora@example.com",
    "activate_url": "https://example.com/a",
    "password_reset_url": "https://example.com/r",
    "signup_url": "https://example.com/s",
    "to_email": "new@example.com",
    "deleted_email": "old@example.com",
    "device": Device("Firefox on Linux", "203.0.113.9", timezone.now()),
}
# Mails of features that are turned off: signing in by a mailed code.
OFF = {"login_code", "password_reset_code"}


def test_every_mail_that_allauth_can_send_is_ours():
    folder = Path(allauth.__file__).parent / "templates"
    names = {
        path.name.removesuffix("_subject.txt")
        for app in ("account", "mfa")
        for path in (folder / app / "email").glob("*_subject.txt")
    }
    assert names - OFF
    for name in names - OFF:
        letter = letters.of_account(f"account/email/{name}", FACTS)
        assert letter.subject
        assert letter.link


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0) Chrome/140 Safari/537 Edg/140",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) Version/18 Safari/605", "Safari on macOS"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko Firefox/143.0", "Firefox on Linux"),
        ("curl/8.5", ""),
        ("", ""),
    ],
)
def test_a_browser_is_named_as_people_name_it(agent, words):
    assert browser(agent) == words


@pytest.mark.django_db
def test_a_new_key_is_mailed_to_owners_and_admins(mailoutbox):
    cast = factories.cast()
    made = factories.key(cast.organization, "Nightly", created_by=cast.bob)
    mail.deliver()
    assert [one.to for one in mailoutbox] == [["alice@example.com"]]
    assert "bob@example.com" in mailoutbox[0].body
    assert made.row.masked in mailoutbox[0].body
    assert made.secret not in mailoutbox[0].body


@pytest.mark.django_db
def test_a_key_that_its_maker_announces_is_not_mailed():
    cast = factories.cast()
    project = cast.organization.projects.get()
    keys.create(project, "First", created_by=cast.alice, announce=False)
    assert not OutgoingMail.objects.exists()
