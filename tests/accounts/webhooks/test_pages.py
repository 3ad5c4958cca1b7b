"""The pages: who may, what is said beside the field, and a secret that is shown once."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.webhooks import endpoints, events, rounds
from accounts.webhooks.models import DeliveryState, WebhookEndpoint
from tests import factories, webhooks
from tests.receiver import Answer, ids

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


@pytest.fixture
def cast():
    return factories.cast()


@pytest.fixture
def alice(cast) -> Client:
    return sign_in(cast.alice)


def sign_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def add(client, url=webhooks.URL, types=("key.created",), **more):
    return client.post(reverse("endpoint_new"), {"url": url, "event_types": list(types), **more})


def text_of(answer) -> str:
    return answer.content.decode()


def test_the_secret_is_shown_once_and_kept_nowhere_in_the_clear(alice, cast, caplog):
    answer = add(alice, description="Board")
    [secret] = set(SECRET.findall(text_of(answer)))
    assert answer.headers["Cache-Control"] == "private, no-store"
    row = cast.organization.webhook_endpoints.get()
    assert row.secret == secret
    events.emit_test(row)
    for name in ("webhooks", "endpoint", "endpoint_change", "endpoint_rotate", "endpoint_delete"):
        path = reverse(name, args=[] if name == "webhooks" else [row.pk])
        page = alice.get(path)
        assert page.status_code == 200
        assert "whsec_" not in text_of(page)
    rotated = alice.post(reverse("endpoint_rotate", args=[row.pk]), {"overlap": "24"})
    [newer] = set(SECRET.findall(text_of(rotated)))
    assert newer != secret
    assert text_of(alice.get(reverse("endpoint", args=[row.pk]))).count("whsec_") == 0
    stored = everything_stored()
    assert str(row.url) in stored
    for one in (secret, newer):
        assert one.removeprefix("whsec_") not in stored
        assert one not in caplog.text


def everything_stored() -> str:
    """Every row of every table, as a dump has it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(table_name) FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        rows: list[str] = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            rows += [row for (row,) in cursor.fetchall()]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://8.8.8.8/", "must begin with https://"),
        ("https://127.0.0.1/", "does not lead to a public address"),
        ("https://169.254.169.254/latest/meta-data", "does not lead to a public address"),
        ("https://localhost/", "does not lead to a public address"),
        ("https://a:b@8.8.8.8/", "Leave name and password out"),
        ("https://8.8.8.8:6379/", "Only the ports 443 and 8443"),
        ("nonsense", "must begin with https://"),
        ("https://ex ample/", "Write a whole address"),
    ],
)
def test_an_address_that_is_not_called_is_refused_beside_its_field(alice, cast, url, said):
    answer = add(alice, url)
    assert answer.status_code == 422
    error = re.search(r'<p class="error" id="id_url_error">([^<]*)', text_of(answer))
    assert error and said in error[1]
    assert f'value="{url}"' in text_of(answer), "what was typed is kept"
    assert not cast.organization.webhook_endpoints.exists()
    row = webhooks.endpoint(cast.organization)
    path = reverse("endpoint_change", args=[row.pk])
    changed = alice.post(path, {"url": url, "event_types": ["key.created"]})
    assert changed.status_code == 422
    row.refresh_from_db()
    assert row.url == webhooks.URL


def test_an_endpoint_needs_an_event_that_exists(alice, cast):
    assert "Choose one at least." in text_of(add(alice, types=[]))
    assert add(alice, types=["webhook.test"]).status_code == 422
    assert add(alice, types=["no.such"]).status_code == 422
    assert not cast.organization.webhook_endpoints.exists()


def test_ten_are_as_many_as_there_may_be(alice, cast):
    for _ in range(endpoints.ENDPOINTS_MAX):
        webhooks.endpoint(cast.organization)
    answer = add(alice)
    assert answer.status_code == 422
    assert "as many as there may be" in text_of(answer)
    assert reverse("endpoint_new") not in text_of(alice.get(reverse("webhooks")))
    with pytest.raises(endpoints.TooManyEndpoints):
        webhooks.endpoint(cast.organization)
    webhooks.endpoint(cast.outside)


def test_a_test_event_goes_out_and_its_page_shows_what_came_back(alice, cast, receiver):
    add(alice, receiver.url, description="Board")
    row = cast.organization.webhook_endpoints.get()
    receiver.answers = [Answer(500, body=b"<script>no</script>")]
    page = alice.post(reverse("endpoint_test", args=[row.pk]), follow=True)
    assert "Queued" in text_of(page)
    assert rounds.run() == 1
    delivery = row.deliveries.get()
    shown = text_of(alice.get(reverse("delivery", args=[delivery.pk])))
    [got] = receiver.got
    assert got.headers["webhook-signature"] in shown.replace("&#x27;", "'").replace("&#43;", "+")
    assert f"webhook-timestamp: {got.headers['webhook-timestamp']}" in shown
    assert delivery.event.wire_id in shown
    assert "&lt;script&gt;no&lt;/script&gt;" in shown
    assert "<script>no" not in shown
    assert "This is a test. Nothing happened." in shown
    alice.post(reverse("delivery_again", args=[delivery.pk]))
    assert rounds.run() == 1
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.DELIVERED
    assert len(set(ids(receiver.got))) == 1
    assert "Delivered" in text_of(alice.get(reverse("endpoint", args=[row.pk])))


def test_off_is_off_until_it_is_switched_on(alice, cast):
    row = webhooks.endpoint(cast.organization)
    path = reverse("endpoint_switch", args=[row.pk])
    alice.post(path, {"to": "off"})
    row.refresh_from_db()
    assert not row.is_enabled
    refused = alice.post(reverse("endpoint_test", args=[row.pk]), follow=True)
    assert "switch it on first" in text_of(refused)
    assert not row.deliveries.exists()
    alice.post(path, {"to": "on"})
    row.refresh_from_db()
    assert row.is_enabled


def test_every_change_is_in_the_audit_log_without_the_path(alice, cast):
    add(alice, f"{webhooks.URL}/token-in-the-path")
    row = cast.organization.webhook_endpoints.get()
    alice.post(
        reverse("endpoint_change", args=[row.pk]),
        {"url": f"{webhooks.URL}/other-token", "event_types": ["key.created", "plan.changed"]},
    )
    alice.post(reverse("endpoint_rotate", args=[row.pk]), {"overlap": "0"})
    for to in ("off", "on"):
        alice.post(reverse("endpoint_switch", args=[row.pk]), {"to": to})
    alice.post(reverse("endpoint_delete", args=[row.pk]))
    entries = AuditEntry.objects.filter(action__startswith="webhook.").order_by("sequence")
    assert [(one.action, one.target, one.actor_email) for one in entries] == [
        (f"webhook.{action}", "8.8.8.8", "alice@example.com")
        for action in ("added", "changed", "rotated", "disabled", "enabled", "removed")
    ]
    assert "token" not in str(list(entries.values()))
    page = text_of(alice.get(reverse("audit_log"), {"subject": "webhook"}))
    assert "Rotated a webhook secret" in page
    assert not WebhookEndpoint.objects.exists()


def test_charlie_finds_nothing(cast):
    row = webhooks.endpoint(cast.organization, name="Board")
    delivery = events.emit_test(row)
    charlie = sign_in(cast.charlie)
    assert "Board" not in text_of(charlie.get(reverse("webhooks")))
    for name, pk in (
        ("endpoint", row.pk), ("endpoint_change", row.pk), ("endpoint_rotate", row.pk),
        ("endpoint_delete", row.pk), ("delivery", delivery.pk),
    ):  # fmt: skip
        assert charlie.get(reverse(name, args=[pk])).status_code == 404, name
    for name, pk in (
        ("endpoint_change", row.pk), ("endpoint_rotate", row.pk), ("endpoint_delete", row.pk),
        ("endpoint_test", row.pk), ("endpoint_switch", row.pk), ("delivery_again", delivery.pk),
    ):  # fmt: skip
        assert charlie.post(reverse(name, args=[pk])).status_code == 404, name
    row.refresh_from_db()
    assert row.is_enabled and row.deliveries.count() == 1


def test_who_only_pays_or_looks_sees_no_webhooks(cast):
    for user, status in (
        (cast.bob, 200), (cast.bella, 403), (cast.victor, 403),
    ):  # fmt: skip
        client = sign_in(user)
        assert client.get(reverse("webhooks")).status_code == status
        assert add(client).status_code == status
        has_link = reverse("webhooks") in text_of(client.get(reverse("settings")))
        assert has_link == (status == 200)


def test_operators_see_how_it_goes_and_nothing_that_opens_or_is_said(cast):
    row = webhooks.endpoint(cast.organization, f"{webhooks.URL}/token-in-the-path")
    event = webhooks.answer(cast.organization, "plan.changed", {"say": "so"}, webhooks.REFUSED)
    olga = User.objects.create_superuser("olga@example.com", "secret")
    client = sign_in(olga)
    delivery = event.deliveries.get()
    for name, pk in (
        ("webhookendpoint", row.pk), ("webhookdelivery", delivery.pk),
        ("webhookattempt", delivery.log.get().pk), ("webhookevent", event.pk),
    ):  # fmt: skip
        for path in (
            reverse(f"admin:accounts_{name}_changelist"),
            reverse(f"admin:accounts_{name}_change", args=[pk]),
        ):
            page = client.get(path)
            assert page.status_code == 200, path
            for secret in (row.secret, "whsec_", "token-in-the-path", "Traceback", '"say"'):
                assert secret not in text_of(page), (path, secret)
        assert client.get(reverse(f"admin:accounts_{name}_add")).status_code == 403
        change = reverse(f"admin:accounts_{name}_change", args=[pk])
        assert client.post(change, {"is_enabled": ""}).status_code == 403
        delete = reverse(f"admin:accounts_{name}_delete", args=[pk])
        assert client.post(delete, {"post": "yes"}).status_code == 403


def test_posts_are_limited(alice, cast):
    row = webhooks.endpoint(cast.organization)
    path = reverse("endpoint_test", args=[row.pk])
    statuses = [alice.post(path).status_code for _ in range(11)]
    assert statuses == [302] * 10 + [429]


def test_the_log_is_paged_and_narrowed_by_state(alice, cast):
    row = webhooks.endpoint(cast.organization)
    for n in range(27):
        outcome = webhooks.REFUSED if n == 0 else webhooks.TAKEN
        webhooks.answer(cast.organization, "plan.changed", {"n": n}, outcome)
    path = reverse("endpoint", args=[row.pk])
    first = text_of(alice.get(path))
    assert first.count('class="row-link mono"') == 25
    older = re.search(r'href="(\?before=\d+)"', first)
    assert older
    assert text_of(alice.get(path + older[1])).count('class="row-link mono"') == 2
    waiting = text_of(alice.get(path, {"state": "waiting"}))
    assert waiting.count('class="row-link mono"') == 1
    assert alice.get(path, {"state": "x", "before": "٣"}).status_code == 200


def test_a_deleted_organization_tells_nobody_anything(alice, cast):
    webhooks.endpoint(cast.organization)
    factories.key(cast.organization)
    alice.post(
        reverse("organization_delete"), {"name": cast.organization.name, "leaves_balance": "on"}
    )
    assert not WebhookEndpoint.objects.exists()
    assert rounds.run() == 0
