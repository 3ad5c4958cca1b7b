"""The playground's page, key and receipts, by everybody of the cast."""

import uuid

import pytest
from django.core.cache import cache

from accounts import keys
from accounts.models import ApiKey
from providers import seed
from providers.models import Model
from tests import factories
from tests.gateway.wire import Wire, body_of
from tests.scripts import Script

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.fixture
def cast():
    return factories.cast()


def ask_key(client, cast, **form):
    return client.post("/playground/key", {"project": cast.organization.projects.get().pk} | form)


def test_the_page_offers_every_model_and_chooses_the_one_asked_for(client, cast) -> None:
    client.force_login(cast.bob)
    page = client.get("/playground?model=qwen-max")
    text = page.content.decode()
    for name in Model.objects.values_list("name", flat=True):
        assert f">{name}</option>" in text
    assert "<option selected>qwen-max</option>" in text
    assert page.context["facts"]["deepseek-reasoner"]["always_thinks"]
    assert not page.context["facts"]["qwen-max"]["may_think"]


def test_a_model_that_is_gone_is_said_to_be_and_another_is_chosen(client, cast) -> None:
    Model.objects.filter(name="qwen-max").update(is_enabled=False)
    client.force_login(cast.bob)
    text = client.get("/playground?model=qwen-max").content.decode()
    assert "“qwen-max” is not served here." in text
    assert "<option selected>qwen-turbo</option>" in text


def test_without_javascript_the_page_shows_the_call_as_code(client, cast) -> None:
    client.force_login(cast.bob)
    text = client.get("/playground").content.decode()
    fallback = text[text.index("data-without") : text.index("data-playground")]
    assert "needs JavaScript" in fallback
    assert "/v1/chat/completions" in fallback


def test_the_key_is_given_by_post_to_those_who_may_send_requests(client, cast) -> None:
    client.force_login(cast.bob)
    assert client.get("/playground/key").status_code == 405
    answer = ask_key(client, cast)
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.json()["seconds"] == 15 * 60
    row = ApiKey.objects.get(digest=keys.digest(answer.json()["key"]))
    assert (row.organization, row.created_by) == (cast.organization, cast.bob)


def test_the_key_needs_the_forms_token(cast) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.bob)
    assert ask_key(client, cast).status_code == 403
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("who", ["victor", "bella"])
def test_roles_without_keys_see_why_and_get_none(client, cast, who) -> None:
    client.force_login(getattr(cast, who))
    text = client.get("/playground").content.decode()
    assert "Your role may not send requests" in text
    assert "data-playground" not in text
    assert ask_key(client, cast).status_code == 403
    assert not ApiKey.objects.exists()


def test_charlie_gets_no_key_in_anothers_project_and_no_receipt(client, cast) -> None:
    record = factories.record(cast.organization)
    client.force_login(cast.charlie)
    assert ask_key(client, cast).status_code == 404
    assert client.get(f"/playground/turns/req_{record.pk.hex}").status_code == 404
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("project", ["", "x", "-1", "9" * 40, "٣"])
def test_a_project_that_is_none_is_a_404(client, cast, project) -> None:
    client.force_login(cast.bob)
    assert ask_key(client, cast, project=project).status_code == 404


def test_the_key_is_no_key_of_the_list_and_welcome_still_makes_the_first(client, cast) -> None:
    client.force_login(cast.alice)
    ask_key(client, cast)
    page = client.get("/keys")
    assert page.context["is_new"]
    assert not page.context["rows"]
    row = ApiKey.objects.get()
    assert client.get(f"/keys/{row.pk}/revoke").status_code == 404
    assert client.get("/welcome").context["secret"]
    assert ApiKey.objects.lasting().count() == 1


def test_too_many_keys_a_minute_are_answered_429(client, cast) -> None:
    client.force_login(cast.bob)
    statuses = [ask_key(client, cast).status_code for _ in range(31)]
    assert (statuses[0], statuses[-1]) == (200, 429)


def test_a_turns_receipt_has_its_classes_and_the_exact_charge(client, cast) -> None:
    record = factories.record(
        cast.organization, input_tokens=12, cached_input_tokens=3, output_tokens=4, is_stream=True
    )
    client.force_login(cast.bob)
    receipt = client.get(f"/playground/turns/req_{record.pk.hex}").json()
    assert receipt["charge_nanos"] == record.charge_nanos
    assert [(one["label"], one["tokens"]) for one in receipt["classes"]] == [
        ("Input", 12), ("Cached input", 3), ("Output", 4),
    ]  # fmt: skip
    assert receipt["url"] == f"/requests/req_{record.pk.hex}"


def test_a_receipt_that_is_not_there_yet_is_a_404(client, cast) -> None:
    client.force_login(cast.bob)
    assert client.get(f"/playground/turns/req_{uuid.uuid4().hex}").status_code == 404
    assert client.get("/playground/turns/nonsense").status_code == 404


def test_a_renewed_key_does_not_cut_what_it_streams(wire: Wire) -> None:
    """A gateway that hears of a key's change asks whether it may still be used."""
    made = wire.stack.manage("create_key", "clients-at-work", "--name", "Renewed")
    import psycopg

    body = body_of(Script(chunks=12, gap_ms=100), stream=True)
    with wire.http.stream(
        "POST", "/v1/chat/completions", json=body, headers=wire.headers(made["api_key"])
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        with psycopg.connect(wire.stack.database_url, autocommit=True) as connection:
            changed = connection.execute(
                "UPDATE accounts_apikey SET expires_at = now() + interval '15 min' WHERE id = %s",
                [made["id"]],
            )
            assert changed.rowcount == 1
        assert [line for line in lines if line][-1] == "data: [DONE]"
