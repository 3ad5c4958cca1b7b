"""Landing, docs, onboarding and keys, by everybody of the cast."""

import pytest
from django.core.cache import cache

from accounts import keys
from accounts.models import ApiKey
from gateway.pages import errors
from providers import seed
from providers.models import Channel, Model, Provider
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.fixture
def cast():
    return factories.cast()


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("/", ("deepseek-reasoner", "qwen-max", "$0.003", "Business", "/v1")),
        ("/docs/models", ("deepseek-reasoner", "qwen-max", "$0.003", "/v1")),
        ("/docs/rate-limits", ("Business", "1,000", "Unlimited")),
    ],
)
def test_public_pages_show_models_prices_and_plans(
    client, path, texts, django_assert_max_num_queries
):
    with django_assert_max_num_queries(8):
        page = client.get(path, headers={"host": "api.example.com"}).content.decode()
    for text in texts:
        assert text in page


def test_pages_forbid_inline_script_and_style(client):
    answer = client.get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy
    page = answer.content.decode()
    assert " style=" not in page
    assert "<script>" not in page
    assert "<style" not in page


def test_docs_say_when_a_local_stand_in_answers(client):
    assert "stand-in" not in client.get("/docs").content.decode()
    model = Model.objects.get(name="qwen-turbo")
    Channel.objects.create(
        provider=Provider.objects.all()[0],
        model=model,
        base_url="http://127.0.0.1:1/v1",
        upstream_model="small",
        is_local_stand_in=True,
    )
    page = client.get("/docs").content.decode()
    assert "stand-in answers here" in page
    assert "answers for qwen-turbo" in page


def test_home_sends_people_to_the_key_and_then_to_the_overview(client, cast):
    client.force_login(cast.alice)
    assert client.get("/").headers["Location"] == "/welcome"
    factories.key(cast.organization)
    assert client.get("/").headers["Location"] == "/overview"


def test_welcome_makes_the_first_key_and_shows_it_once(client, cast):
    client.force_login(cast.alice)
    page = client.get("/welcome")
    made = ApiKey.objects.get(organization=cast.organization)
    shown = page.context["secret"]
    assert keys.digest(shown) == made.digest
    assert page.content.decode().count(shown) == 4  # itself, curl, Python, Node
    assert "no-store" in page.headers["Cache-Control"]
    again = client.get("/welcome").content.decode()
    assert shown not in again
    assert made.masked in again
    assert ApiKey.objects.count() == 1


def test_welcome_makes_no_key_for_a_viewer(client, cast):
    client.force_login(cast.victor)
    assert client.get("/welcome").status_code == 200
    assert not ApiKey.objects.exists()


def test_the_first_request_is_reported_with_model_tokens_and_charge(client, cast):
    client.force_login(cast.alice)
    assert client.get("/welcome/first-request").json() == {"received": False}
    record = factories.record(cast.organization, input_tokens=12, output_tokens=4)
    assert client.get("/welcome/first-request").json() == {
        "received": True,
        "model": "qwen-turbo",
        "tokens": "16",
        "charge": "$0.0000014",
        "url": f"/requests/req_{record.pk.hex}",
    }
    assert "First request received" in client.get("/welcome").content.decode()


def test_a_request_of_others_is_not_reported(client, cast):
    factories.record(cast.organization)
    client.force_login(cast.charlie)
    assert client.get("/welcome/first-request").json() == {"received": False}


def new_key(client, cast, **changes):
    data = {"name": "Nightly", "project": cast.organization.projects.get().pk} | changes
    return client.post("/keys/new", data)


def test_a_new_key_is_shown_once_with_its_limits_stored(client, cast):
    client.force_login(cast.bob)
    page = new_key(
        client,
        cast,
        expires="30",
        allowed_models=["qwen-turbo"],
        allowed_addresses="203.0.113.0/24",
        spend_cap_day_nanos="1.5",
    )
    made = ApiKey.objects.get()
    assert keys.digest(page.context["secret"]) == made.digest
    assert made.allowed_models == ["qwen-turbo"]
    assert made.allowed_addresses == ["203.0.113.0/24"]
    assert made.spend_cap_day_nanos == 1_500_000_000
    assert made.expires_at is not None
    assert made.created_by == cast.bob
    assert page.context["secret"] not in client.get("/keys").content.decode()


def test_a_wrong_form_comes_back_with_the_error_and_what_was_typed(client, cast):
    client.force_login(cast.bob)
    page = new_key(client, cast, allowed_addresses="not an address")
    assert page.status_code == 422
    assert "is not an IP address" in page.content.decode()
    assert 'value="Nightly"' in page.content.decode()
    assert not ApiKey.objects.exists()


def test_revoking_asks_first_and_then_closes_the_key(client, cast):
    row = factories.key(cast.organization).row
    client.force_login(cast.bob)
    assert "stops working at once" in client.get(f"/keys/{row.pk}/revoke").content.decode()
    row.refresh_from_db()
    assert row.is_live
    client.post(f"/keys/{row.pk}/revoke")
    row.refresh_from_db()
    assert not row.is_live


@pytest.mark.parametrize("who", ["victor", "bella"])
def test_roles_without_keys_see_the_list_and_are_refused_the_rest(client, cast, who):
    row = factories.key(cast.organization).row
    client.force_login(getattr(cast, who))
    page = client.get("/keys").content.decode()
    assert row.masked in page
    assert "/revoke" not in page
    assert client.get("/keys/new").status_code == 403
    assert new_key(client, cast).status_code == 403
    assert client.post(f"/keys/{row.pk}/revoke").status_code == 403
    assert ApiKey.objects.live().count() == 1


def test_charlie_finds_no_key_of_others(client, cast):
    row = factories.key(cast.organization).row
    client.force_login(cast.charlie)
    assert client.get(f"/keys/{row.pk}/revoke").status_code == 404
    assert client.post(f"/keys/{row.pk}/revoke").status_code == 404
    assert row.masked not in client.get("/keys").content.decode()
    row.refresh_from_db()
    assert row.is_live


@pytest.mark.parametrize("path", ["/welcome", "/welcome/first-request", "/keys", "/keys/new"])
def test_strangers_are_sent_to_sign_in(client, path):
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/login/")


def test_the_list_of_keys_takes_the_same_queries_for_one_and_for_thirty(
    client, cast, django_assert_max_num_queries
):
    for n in range(30):
        factories.key(cast.organization, f"key {n}")
    client.force_login(cast.alice)
    with django_assert_max_num_queries(6):
        client.get("/keys")


def test_too_many_new_keys_a_minute_are_answered_429(client, cast):
    client.force_login(cast.bob)
    statuses = [new_key(client, cast, name="").status_code for _ in range(31)]
    assert statuses[0] == 422
    assert statuses[-1] == 429


def test_a_wrong_address_is_a_page_with_404(client):
    answer = client.get("/nothing-here")
    assert answer.status_code == 404
    assert "nothing at this address" in answer.content.decode()


def test_the_theme_is_remembered_and_redirects_only_here(client):
    answer = client.post("/theme", {"theme": "dark", "next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
    assert 'data-theme="dark"' in client.get("/docs").content.decode()


def test_the_page_for_our_own_faults_needs_no_database(rf, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = errors.failed(rf.get("/overview"))
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.content.decode()
