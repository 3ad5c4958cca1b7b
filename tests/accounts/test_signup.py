"""Signing up, in and out, and choosing an organization."""

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import mail
from accounts.models import Membership, Organization, Role, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_limits():
    cache.clear()


def sign_up(client: Client, **changes):
    data = {"email": "dora@example.com", "password1": "a long enough secret"} | changes
    return client.post("/accounts/signup/", data)


def test_sign_up_makes_an_organization_with_project_wallet_and_plan(client, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    answer = sign_up(client, organization="Dora's Lab")
    assert answer.headers["Location"] == "/welcome"
    organization = Organization.objects.get(name="Dora's Lab")
    assert organization.memberships.get().role == Role.OWNER
    assert organization.projects.count() == 1
    assert organization.wallet.available_nanos == settings.WELCOME_CREDIT_NANOS
    assert organization.subscription.plan.slug == "starter"


def test_sign_up_without_a_name_takes_it_from_the_email_address(client, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    sign_up(client, email="dora.meier@example.com")
    assert Organization.objects.filter(name="Dora Meier").exists()


def test_sign_up_waits_for_the_verification_where_that_is_mandatory(client, settings, mailoutbox):
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    answer = sign_up(client)
    assert answer.headers["Location"] == "/accounts/confirm-email/"
    assert client.get("/overview").status_code == 302
    mail.deliver()
    assert len(mailoutbox) == 1


def test_sign_up_puts_the_error_beside_the_field_and_keeps_what_was_typed(client):
    page = sign_up(client, password1="short").content.decode()
    assert 'value="dora@example.com"' in page
    assert 'class="error"' in page
    assert not User.objects.exists()


def test_sign_in_is_limited_and_says_so_with_429(client):
    factories.UserFactory.create(email="alice@example.com")
    wrong = {"login": "nobody@example.com", "password": "wrong"}
    statuses = [client.post("/accounts/login/", wrong).status_code for _ in range(21)]
    assert statuses[0] == 200
    assert statuses[-1] == 429


def test_a_password_reset_mail_goes_out(client, mailoutbox):
    factories.UserFactory.create(email="alice@example.com")
    client.post("/accounts/password/reset/", {"email": "alice@example.com"})
    mail.deliver()
    assert len(mailoutbox) == 1
    assert "/accounts/password/reset/key/" in mailoutbox[0].body


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/confirm-email/",
        "/accounts/password/reset/key/1-x/",
        "/accounts/confirm-email/unknown/",
    ],
)
def test_every_entrance_page_has_the_products_frame(client, path):
    page = client.get(path)
    assert page.status_code == 200
    assert "entrance-card" in page.content.decode()


def test_switching_changes_what_the_pages_show(client):
    cast = factories.cast()
    Membership.objects.create(organization=cast.outside, user=cast.alice, role=Role.VIEWER)
    client.force_login(cast.alice)
    assert "Acme Robotics" in client.get("/overview").content.decode()
    client.post("/organizations/switch", {"organization": cast.outside.pk})
    page = client.get("/keys").content.decode()
    assert "/keys/new" not in page  # a viewer there


def test_switching_to_an_organization_of_others_is_404(client):
    cast = factories.cast()
    client.force_login(cast.charlie)
    answer = client.post("/organizations/switch", {"organization": cast.organization.pk})
    assert answer.status_code == 404


def test_a_membership_that_ended_no_longer_opens_the_organization(client):
    cast = factories.cast()
    client.force_login(cast.bob)
    client.post("/organizations/switch", {"organization": cast.organization.pk})
    Membership.objects.filter(user=cast.bob).delete()
    assert client.get("/overview").headers["Location"] == "/organizations/new"


def test_a_person_without_an_organization_names_one(client):
    client.force_login(factories.UserFactory.create())
    assert client.get("/").headers["Location"] == "/organizations/new"
    client.post("/organizations/new", {"name": "Second Try"})
    assert Organization.objects.filter(name="Second Try").exists()
