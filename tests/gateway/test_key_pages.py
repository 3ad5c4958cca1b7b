"""Keys as a list that may be long, and one key's page: its limits, its successor, its end."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts import key_list, keys
from accounts.models import ApiKey, Project
from billing.models import KeyBudget, UsageDay
from providers import seed
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.fixture
def cast():
    return factories.cast()


@pytest.fixture
def key(cast):
    return factories.key(cast.organization, "Backend", created_by=cast.bob).row


def names(page) -> list[str]:
    return [row.name for row in page.context["rows"]]


def test_the_list_pages_through_every_key_once_newest_first(client, cast):
    made = [factories.key(cast.organization, f"key {n}").row.name for n in range(key_list.PAGE + 3)]
    client.force_login(cast.victor)
    first = client.get("/keys")
    rest = client.get("/keys", {"before": first.context["older"]})
    assert [*names(first), *names(rest)] == made[::-1]
    assert rest.context["older"] is None


def test_the_list_shows_what_the_filters_ask_for(client, cast, key):
    other = Project.objects.create(organization=cast.organization, name="Research")
    nightly = keys.create(other, "Nightly jobs", created_by=cast.alice)
    gone = factories.key(cast.organization, "Old jobs", expires_at=timezone.now())
    keys.revoke(factories.key(cast.organization, "Leaked").row)
    client.force_login(cast.alice)
    assert names(client.get("/keys")) == ["Nightly jobs", "Backend"]
    assert names(client.get("/keys", {"state": "closed"})) == ["Leaked", "Old jobs"]
    assert len(names(client.get("/keys", {"state": "all"}))) == 4
    assert names(client.get("/keys", {"q": "JOBS", "state": "all"})) == ["Old jobs", "Nightly jobs"]
    assert names(client.get("/keys", {"q": key.last_four})) == ["Backend"]
    assert names(client.get("/keys", {"q": nightly.secret})) == ["Nightly jobs"]
    assert names(client.get("/keys", {"q": gone.secret})) == []
    assert names(client.get("/keys", {"project": other.pk})) == ["Nightly jobs"]
    assert names(client.get("/keys", {"member": cast.bob.pk})) == ["Backend"]
    assert "No key fits" in client.get("/keys", {"q": "nothing"}).content.decode()


@pytest.mark.parametrize("given", ["x", "-1", "9" * 30, "\0", "²"])
def test_the_list_takes_nonsense_in_its_address_for_nothing(client, cast, key, given):
    client.force_login(cast.alice)
    asked = {"before": given, "project": given, "member": given, "state": given}
    assert names(client.get("/keys", asked)) == ["Backend"]


def test_a_secret_of_others_finds_nothing(client, cast):
    made = factories.key(cast.organization, "Theirs")
    client.force_login(cast.charlie)
    assert made.row.masked not in client.get("/keys", {"q": made.secret}).content.decode()


def test_the_key_page_shows_its_usage_its_caps_and_its_requests(client, cast, key):
    keys.change(key, spend_cap_day_nanos=2 * factories.USD)
    today = timezone.now().date()
    KeyBudget.objects.create(
        pk=key.pk, day=today, day_nanos=factories.USD, month=today.replace(day=1), month_nanos=0
    )
    UsageDay.objects.create(
        organization_id=cast.organization.pk, api_key_id=key.pk, model="qwen-plus",
        day=today - timedelta(2), requests=7, charge_nanos=9 * factories.USD,
    )  # fmt: skip
    mine = factories.record(cast.organization, api_key_id=key.pk)
    factories.record(cast.organization, api_key_id=key.pk + 1)
    client.force_login(cast.victor)
    page = client.get(f"/keys/{key.pk}")
    assert page.context["caps"] == [("day", factories.USD, 2 * factories.USD, 50)]
    assert page.context["total"].requests == 7
    assert [row.pk for row in page.context["recent"].rows] == [mine.pk]
    assert "/change" not in page.content.decode()


def test_changing_a_key_shows_what_it_has_and_stores_what_is_typed(client, cast, key):
    expires_at = timezone.now() + timedelta(days=3)
    keys.change(key, expires_at=expires_at, spend_cap_day_nanos=1_500_000_000,
                allowed_models=["gone-model"])  # fmt: skip
    client.force_login(cast.bob)
    page = client.get(f"/keys/{key.pk}/change").content.decode()
    assert 'value="1.5"' in page and "gone-model" in page
    data = {"name": "Renamed", "expires": "keep", "allowed_models": ["qwen-turbo"],
            "requests_per_minute": "30", "spend_cap_month_nanos": "0.000000001"}  # fmt: skip
    answer = client.post(f"/keys/{key.pk}/change", data)
    assert answer.headers["Location"] == f"/keys/{key.pk}"
    key.refresh_from_db()
    assert key.expires_at == expires_at
    assert (key.name, key.allowed_models, key.requests_per_minute) == (
        "Renamed", ["qwen-turbo"], 30)  # fmt: skip
    assert (key.spend_cap_day_nanos, key.spend_cap_month_nanos) == (None, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("requests_per_minute", "0"),
        ("tokens_per_minute", str(2**31)),
        ("spend_cap_day_nanos", "-1"),
        ("allowed_addresses", "nowhere"),
        ("allowed_models", "no-such-model"),
    ],
)
def test_a_change_that_cannot_be_is_told_beside_its_field(client, cast, key, field, value):
    client.force_login(cast.bob)
    page = client.post(f"/keys/{key.pk}/change", {"name": "Renamed", field: value})
    assert page.status_code == 422
    assert page.context["form"].errors.keys() == {field}
    key.refresh_from_db()
    assert key.name == "Backend"


def test_a_closed_key_cannot_be_changed(client, cast, key):
    keys.revoke(key)
    client.force_login(cast.bob)
    answer = client.post(f"/keys/{key.pk}/change", {"name": "Renamed"})
    assert answer.headers["Location"] == f"/keys/{key.pk}"
    key.refresh_from_db()
    assert key.name == "Backend"


def test_rotating_shows_the_new_secret_once_and_when_the_old_one_ends(client, cast, key):
    client.force_login(cast.bob)
    page = client.post(f"/keys/{key.pk}/rotate", {"overlap": "1"})
    made = ApiKey.objects.get(rotated_from=key)
    assert page.context["secret"] in page.content.decode()
    assert keys.digest(page.context["secret"]) == made.digest
    assert made.created_by == cast.bob
    key.refresh_from_db()
    assert f"{key.expires_at:%Y-%m-%d %H:%M:%S} UTC" in page.content.decode()
    shown = client.get(f"/keys/{key.pk}").content.decode()
    assert made.masked in shown and key.masked in shown
    assert page.context["secret"] not in shown


@pytest.mark.parametrize("overlap", ["", "2", "-1", "9999"])
def test_rotating_takes_only_the_offered_overlaps(client, cast, key, overlap):
    client.force_login(cast.bob)
    assert client.post(f"/keys/{key.pk}/rotate", {"overlap": overlap}).status_code == 422
    assert ApiKey.objects.count() == 1


def test_rotating_twice_is_refused_in_words(client, cast, key):
    client.force_login(cast.bob)
    client.post(f"/keys/{key.pk}/rotate", {"overlap": "0"})
    answer = client.post(f"/keys/{key.pk}/rotate", {"overlap": "0"}, follow=True)
    assert "Not rotated" in answer.content.decode()
    assert ApiKey.objects.count() == 2


def test_revoking_says_what_still_uses_the_key(client, cast, key):
    UsageDay.objects.create(
        organization_id=cast.organization.pk, api_key_id=key.pk, model="qwen-plus",
        day=timezone.now().date() - timedelta(1), requests=1_234,
    )  # fmt: skip
    client.force_login(cast.alice)
    page = client.get(f"/keys/{key.pk}/revoke").content.decode()
    assert "1,234 requests" in page and "qwen-plus" in page and "rotate it instead" in page
