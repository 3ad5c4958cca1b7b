"""What a person takes along: everything about them, nothing about others, and no secret."""

import json

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache

from accounts import export
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_limits():
    cache.clear()


def exported(client):
    answer = client.post("/account/data/file")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"] == "private, no-store"
    return json.loads(b"".join(answer))


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_person_downloads_all_their_data_and_nobody_elses(client):
    cast = factories.cast()
    made = factories.key(cast.organization, "Alice's key", created_by=cast.alice)
    factories.key(cast.outside, "Charlie's key", created_by=cast.charlie)
    Authenticator.objects.create(user=cast.alice, type="totp", data={"secret": "hidden-secret"})
    client.force_login(cast.alice)
    found = exported(client)
    assert found["profile"]["email"] == "alice@example.com"
    assert found["organizations"][0]["role"] == "owner"
    assert [one["name"] for one in found["keys_created"]] == ["Alice's key"]
    assert found["second_factors"][0]["kind"] == "totp"
    assert found["cut_short"] == []
    text = json.dumps(found)
    for secret in (made.secret, "hidden-secret", cast.alice.password, "Charlie"):
        assert secret not in text


def test_a_long_list_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(export, "ROWS_MAX", 2)
    cast = factories.cast()
    for n in range(3):
        factories.key(cast.organization, f"key {n}", created_by=cast.alice)
    found = json.loads("".join(export.write(cast.alice)))
    assert len(found["keys_created"]) == 2
    assert found["cut_short"] == ["keys_created"]


def test_exports_are_limited_and_never_answer_a_get(client):
    client.force_login(factories.UserFactory.create())
    assert client.get("/account/data/file").status_code == 405
    assert [client.post("/account/data/file").status_code for _ in range(7)] == [200] * 6 + [429]
