"""How often forms may be sent: each page's own count ends in the 429 page, and no other's."""

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import limits
from tests import factories

# Address, what is sent, and how often a minute (or an hour) that may be.
OPEN = {
    "sign-in": ("/accounts/login/", {"login": "nobody@example.com", "password": "x"}, 20),
    "sign-up": ("/accounts/signup/", {"email": "no address"}, 20),
    "reset": ("/accounts/password/reset/", {"email": "no address"}, 10),
    "new password": ("/accounts/password/reset/key/1-set-password/", {}, 10),
    "invitation": ("/invitations/a-link-of-nobody", {}, 20),
}
SIGNED_IN = {
    "redeem": ("/billing/redeem", {"code": "AAAA"}, 10),
    "top-up": ("/billing/top-up", {"amount": "1"}, 20),
    "invite": ("/settings/members/invite", {"email": "no address"}, 10),
    "cap": ("/billing/limits/cap", {"cap_nanos": "much"}, 30),
    "alert": ("/billing/limits", {"threshold_nanos": "much"}, 30),
    "new key": ("/keys/new", {}, 30),
    "export": ("/account/data/file", {}, 6),
}


@pytest.fixture(autouse=True)
def clean(db: None) -> None:
    cache.clear()


def exhaust(client: Client, address: str, form: dict[str, str], most: int) -> None:
    statuses = [client.post(address, form).status_code for _ in range(most)]
    assert 429 not in statuses, "none too early"
    answer = client.post(address, form)
    assert answer.status_code == 429
    assert "too" in answer.content.decode().lower()


@pytest.mark.parametrize("name", OPEN)
def test_each_open_form_ends_in_the_429_page_and_leaves_the_others_alone(client, name) -> None:
    exhaust(client, *OPEN[name])
    for other, (address, form, _) in OPEN.items():
        if other != name:
            assert client.post(address, form).status_code != 429, other


@pytest.mark.parametrize("name", SIGNED_IN)
def test_each_members_form_ends_in_the_429_page_and_leaves_the_others_alone(client, name) -> None:
    cast = factories.cast()
    client.force_login(cast.alice)
    exhaust(client, *SIGNED_IN[name])
    for other, (address, form, _) in SIGNED_IN.items():
        if other != name:
            assert client.post(address, form).status_code != 429, other
    client.force_login(cast.charlie)
    address, form, _ = SIGNED_IN[name]
    # Another address, too: how often one is invited counts for everybody together.
    form = {name: f"{value}x" for name, value in form.items()}
    assert client.post(address, form).status_code != 429, "another person has a count of their own"


def test_no_two_views_count_under_one_name() -> None:
    from accounts.pages import entrance, settings

    counted = [entrance.login, entrance.signup, entrance.password_reset,
               entrance.password_reset_from_key, entrance.confirm_email, settings.email,
               settings.password]  # fmt: skip
    names = {limits._name(view) for view in counted}
    assert len(names) == len(counted)
