"""Invitations: the mail, the link, and who may use it when."""

import re
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import invitations, mail
from accounts.models import (
    AuditEntry,
    Invitation,
    Membership,
    Organization,
    OutgoingMail,
    Role,
    User,
)
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


def invite(owner: Client, email: str = "dora@example.com", role: str = "developer") -> str:
    """Invite over the page; the path of the link in the mail."""
    owner.post("/settings/members/invite", {"email": email, "role": role})
    return link_in(OutgoingMail.objects.filter(recipient=email.lower()).order_by("-pk")[0].text)


def link_in(text: str) -> str:
    (path,) = re.findall(r"https?://[^/\s]+(/invitations/\S+)", text)
    return str(path)


def joined(cast: factories.Cast, email: str) -> Membership | None:
    return Membership.objects.filter(
        organization=cast.organization, user__email__iexact=email
    ).first()


def test_the_mail_says_who_invites_to_what_in_text_and_html(owner, cast, mailoutbox) -> None:
    path = invite(owner, role="billing")
    assert mail.deliver() == 1
    (message,) = mailoutbox
    assert message.to == ["dora@example.com"]
    assert "Acme Robotics" in message.subject
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    for body in (message.body, html):
        assert "alice@example.com" in body
        assert "Billing" in body
        assert path in body


def test_the_token_is_in_the_mail_and_nowhere_else(owner, cast) -> None:
    token = invite(owner).rpartition("/")[2]
    row = Invitation.objects.get()
    kept = [str(getattr(row, field.attname)) for field in row._meta.concrete_fields]
    assert token not in " ".join(kept)
    assert not AuditEntry.objects.filter(target__contains=token).exists()
    assert not AuditEntry.objects.filter(details__icontains=token).exists()
    assert len(token) >= 43


def test_somebody_with_an_account_joins_in_the_role_they_were_invited_to(owner, cast) -> None:
    dora = factories.UserFactory.create(email="Dora@example.com")
    path = invite(owner, role="viewer")
    browser = Client()
    browser.force_login(dora)
    assert "Join Acme Robotics" in browser.get(path).content.decode()
    answer = browser.post(path, follow=True)
    assert "Welcome to Acme Robotics" in answer.content.decode()
    membership = joined(cast, "dora@example.com")
    assert membership is not None and membership.role == Role.VIEWER
    assert AuditEntry.objects.get(action="member.joined").actor_email == "dora@example.com"
    assert not Invitation.objects.exists()


def test_somebody_new_signs_up_from_the_link_and_needs_no_second_mail(
    owner, cast, settings
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    path = invite(owner)
    browser = Client()
    page = browser.get(path).content.decode()
    (sign_up,) = re.findall(r'href="(/accounts/signup/\?next=[^"]+)"', page)
    form = browser.get(sign_up).content.decode()
    assert 'value="dora@example.com"' in form
    assert 'name="organization"' not in form
    answer = browser.post(
        sign_up,
        {"email": "dora@example.com", "password1": "a long enough secret", "next": path},
    )
    assert answer.headers["Location"] == path
    browser.post(path)
    assert joined(cast, "dora@example.com") is not None
    # No organization, and no welcome credit, of their own.
    assert Membership.objects.filter(user__email="dora@example.com").count() == 1
    assert Organization.objects.count() == 2


def test_sign_in_leads_back_to_the_invitation(owner, cast, settings) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    factories.UserFactory.create(email="dora@example.com")
    path = invite(owner)
    browser = Client()
    answer = browser.post(path)
    assert answer.headers["Location"] == f"/accounts/login/?next={path}"
    answer = browser.post(
        answer.headers["Location"],
        {"login": "dora@example.com", "password": factories.PASSWORD, "next": path},
    )
    assert answer.headers["Location"] == path


def test_the_link_is_for_its_address_alone(owner, cast) -> None:
    path = invite(owner)
    browser = Client()
    browser.force_login(cast.charlie)
    page = browser.get(path).content.decode()
    assert "It is for dora@example.com, and you are signed in as charlie@example.com" in page
    assert browser.post(path).status_code == 403
    assert joined(cast, "charlie@example.com") is None


def test_who_signs_up_with_another_address_gets_no_free_pass(owner, cast, settings) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    path = invite(owner)
    browser = Client()
    browser.get(path)
    answer = browser.post(
        "/accounts/signup/", {"email": "eve@example.com", "password1": "a long enough secret"}
    )
    assert answer.headers["Location"] == "/accounts/confirm-email/"
    eve = User.objects.get(email="eve@example.com")
    assert eve.memberships.get().organization.name == "Eve"
    assert not EmailAddress.objects.filter(verified=True).exists()


def test_a_link_works_once_and_for_seven_days(owner, cast) -> None:
    dora = factories.UserFactory.create(email="dora@example.com")
    path = invite(owner)
    browser = Client()
    browser.force_login(dora)
    with time_machine.travel(timezone.now() + timedelta(days=7, minutes=1), tick=False):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert "This link no longer works" in answer.content.decode()
    browser.post(path)
    assert browser.get(path).status_code == 404


def test_sending_again_makes_a_new_link_and_ends_the_old_one(owner, cast) -> None:
    old = invite(owner)
    row = Invitation.objects.get()
    owner.post(f"/settings/invitations/{row.pk}/resend")
    new = link_in(OutgoingMail.objects.order_by("-pk")[0].text)
    assert new != old
    stranger = Client()
    assert stranger.get(old).status_code == 404
    assert stranger.get(new).status_code == 200
    assert AuditEntry.objects.filter(action="invitation.resent").count() == 1


def test_a_revoked_invitation_no_longer_works(owner, cast) -> None:
    path = invite(owner)
    owner.post(f"/settings/invitations/{Invitation.objects.get().pk}/revoke")
    assert Client().get(path).status_code == 404
    assert AuditEntry.objects.filter(action="invitation.revoked").count() == 1


@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("bob@example.com", "This person is a member already."),
        ("Bob@Example.com", "This person is a member already."),
        ("dora@example.com", "This person is invited already."),
        ("no address", "Enter a valid email address."),
    ],
)
def test_what_cannot_be_invited_says_so_beside_the_field(owner, cast, email, words) -> None:
    invite(owner)
    answer = owner.post("/settings/members/invite", {"email": email, "role": "viewer"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert f'value="{email}"' in page
    assert Invitation.objects.count() == 1


def test_an_admin_invites_no_owner(client: Client, cast) -> None:
    Membership.objects.filter(user=cast.bob).update(role=Role.ADMIN)
    client.force_login(cast.bob)
    answer = client.post("/settings/members/invite", {"email": "d@example.com", "role": "owner"})
    assert answer.status_code == 422
    assert not Invitation.objects.exists()


def test_open_invitations_are_bounded(owner, cast, monkeypatch) -> None:
    monkeypatch.setattr(invitations, "PENDING_MAX", 2)
    for number in range(3):
        owner.post(
            "/settings/members/invite", {"email": f"p{number}@example.com", "role": "viewer"}
        )
    assert Invitation.objects.count() == 2


def test_inviting_is_limited_and_says_so_with_429(owner, cast) -> None:
    statuses = [
        owner.post("/settings/members/invite", {"email": f"p{n}@example.com", "role": "viewer"})
        .status_code
        for n in range(31)
    ]  # fmt: skip
    assert statuses[0] == 302
    assert statuses[-1] == 429
    assert Invitation.objects.count() == 30


def test_no_address_is_flooded_by_many_senders(cast) -> None:
    statuses = []
    for number in range(11):
        owner = factories.UserFactory.create(email=f"owner{number}@example.com")
        factories.OrganizationFactory.create(owner=owner)
        browser = Client()
        browser.force_login(owner)
        form = {"email": "victim@example.com", "role": "viewer"}
        statuses.append(browser.post("/settings/members/invite", form).status_code)
    assert statuses == [302] * 10 + [429]


def test_accepting_is_limited(cast) -> None:
    browser = Client()
    browser.force_login(cast.charlie)
    statuses = [browser.post("/invitations/guess").status_code for _ in range(21)]
    assert (statuses[0], statuses[-1]) == (404, 429)


def test_an_invitation_to_a_deleted_organization_no_longer_works(owner, cast) -> None:
    path = invite(owner)
    Organization.objects.filter(pk=cast.organization.pk).update(deleted_at=timezone.now())
    assert Client().get(path).status_code == 404


def test_members_without_the_right_see_no_invitations(owner, cast) -> None:
    invite(owner)
    browser = Client()
    browser.force_login(cast.victor)
    page = browser.get("/settings/members").content.decode()
    assert "dora@example.com" not in page
    assert "bob@example.com" in page
