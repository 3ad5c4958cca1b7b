"""The catalog in the admin: channels tried and watched, prices previewed, all written down."""

import uuid
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from billing.models import Plan, UsageDay
from billing.money import format_usd
from billing.periods import today
from gateway.models import Heartbeat
from providers import seed
from providers.models import Channel, Model, Price, Provider
from tests import factories
from tests.operators.conftest import allow, signed_in
from tests.upstream import Script, ScriptedUpstream

pytestmark = pytest.mark.django_db
USD = factories.USD


@pytest.fixture
def model(db) -> Model:
    seed.plant({})
    return Model.objects.get(name="qwen-turbo")


@pytest.fixture
def channel(model) -> Channel:
    return Channel.objects.create(
        provider=Provider.objects.get(slug="alibaba"), model=model, credential="sk-very-secret",
        base_url="http://127.0.0.1:1/v1", upstream_model="m",
    )  # fmt: skip


def page(row, name: str) -> str:
    return reverse(f"admin:providers_{row._meta.model_name}_{name}", args=[row.pk])


def messages_of(answer) -> str:
    return " ".join(str(one) for one in answer.context["messages"])


def test_a_channel_is_tried_with_one_small_request(olga, channel):
    with ScriptedUpstream() as upstream:
        upstream.otherwise = lambda _body: Script(text="OK")
        Channel.objects.filter(pk=channel.pk).update(base_url=upstream.base_url)
        answer = signed_in(olga).post(page(channel, "try"), follow=True)
        sent = upstream.last()
    assert "It answers" in messages_of(answer)
    assert (sent.body["model"], sent.body["max_tokens"]) == ("m", 16)
    assert sent.headers["Authorization"] == "Bearer sk-very-secret"
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.details["said"]) == ("channel.tried", "It answers")


def test_a_channel_that_fails_says_how_and_not_its_credential(olga, channel):
    client = signed_in(olga)
    assert "upstream_unreachable" in messages_of(client.post(page(channel, "try"), follow=True))
    with ScriptedUpstream() as upstream:
        upstream.otherwise = lambda _body: Script(status=401)
        Channel.objects.filter(pk=channel.pk).update(base_url=upstream.base_url)
        answer = client.post(page(channel, "try"), follow=True)
    assert "status 401" in messages_of(answer)
    assert "sk-very-secret" not in answer.content.decode()


def test_trying_is_limited_and_wants_the_permission(olga, stan, channel):
    allow(stan, "view_channel")
    assert signed_in(stan).post(page(channel, "try")).status_code == 403
    client = signed_in(olga)
    for _ in range(10):
        client.post(page(channel, "try"))
    answer = client.post(page(channel, "try"), follow=True)
    assert "Ten a minute" in messages_of(answer)
    assert AuditEntry.objects.filter(action="channel.tried").count() == 10


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ([], "not in use"),
        ([[0, 0]], "not tried lately"),
        ([[7, 0], [5, 0]], "well (12 attempts)"),
        ([[7, 3], [5, 0]], "failing in 1 of 2 gateways (12 attempts)"),
    ],
)
def test_the_list_tells_what_the_running_gateways_see(olga, channel, beats, words):
    for number, beat in enumerate(beats):
        Heartbeat.objects.create(
            process=uuid.UUID(int=number), at=timezone.now(),
            facts={"channels": {channel.pk: beat}},
        )  # fmt: skip
    text = signed_in(olga).get("/admin/providers/channel/").content.decode()
    assert words in text


def test_weight_and_state_change_in_the_list_and_are_in_the_history(olga, channel):
    client = signed_in(olga)
    url = "/admin/providers/channel/"
    client.post(url, {
        "form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": channel.pk,
        "form-0-priority": 3, "form-0-weight": 5, "form-0-is_enabled": "on", "_save": "Save",
    })  # fmt: skip
    channel.refresh_from_db()
    assert (channel.priority, channel.weight, channel.credential) == (3, 5, "sk-very-secret")
    client.post(url, {"action": "disable", "_selected_action": [channel.pk]})
    channel.refresh_from_db()
    assert not channel.is_enabled
    changes = [one.details["changes"] for one in AuditEntry.objects.order_by("id")
               if one.action == "catalog.changed"]  # fmt: skip
    assert changes == [{"priority": [10, 3], "weight": [1, 5]}, {"is_enabled": [True, False]}]
    text = client.get(page(channel, "history")).content.decode()
    assert "weight" in text and olga.email in text


def test_a_new_credential_is_recorded_as_changed_and_not_shown(olga, channel):
    signed_in(olga).post(page(channel, "change"), {
        "provider": channel.provider_id, "model": channel.model_id, "name": "",
        "base_url": channel.base_url, "upstream_model": "m", "credential": "sk-another-secret",
        "priority": 10, "weight": 1, "is_enabled": "on",
    })  # fmt: skip
    channel.refresh_from_db()
    assert channel.credential == "sk-another-secret"
    entry = AuditEntry.objects.latest("id")
    assert entry.details["changes"] == {"credential": "changed"}


# --- prices -------------------------------------------------------------------------------------


def form(model, at, **rate) -> dict:
    rates = {"context_tokens_min": 0, "start_minute": "00:00", "end_minute": "24:00",
             "input_nanos": "1", "cached_input_nanos": "0", "cache_write_nanos": "",
             "output_nanos": "2.00", "reasoning_output_nanos": ""} | rate  # fmt: skip
    return {
        "model": model.pk, "effective_at_0": f"{at:%Y-%m-%d}", "effective_at_1": f"{at:%H:%M:%S}",
        "note": "Dearer", "rates-TOTAL_FORMS": 1, "rates-INITIAL_FORMS": 0,
        **{f"rates-0-{name}": value for name, value in rates.items()},
    }  # fmt: skip


ADD = "/admin/providers/price/add/"


def test_a_new_price_shows_whom_it_touches_and_is_made_when_confirmed(olga, model):
    cast = factories.cast()
    old = model.prices.get().rates.get(context_tokens_min=0, weekdays=0)
    for organization, tokens in ((cast.organization, 10**6), (cast.outside, 3 * 10**6)):
        UsageDay.objects.create(organization_id=organization.pk, day=today(), model=model.name,
                                input_tokens=tokens)  # fmt: skip
    UsageDay.objects.create(organization_id=cast.organization.pk, model=model.name,
                            day=today() - timedelta(30), input_tokens=10**9)  # fmt: skip
    cast.outside.subscription.markup_ppm = 2_000_000
    cast.outside.subscription.save()
    at = timezone.now() + timedelta(days=7)
    client = signed_in(olga)
    answer = client.post(ADD, form(model, at))
    preview = answer.context["preview"]
    assert [(one.organization, one.before_nanos, one.after_nanos) for one in preview.effects] == [
        ("Charlie's", 6 * old.input_nanos, 6 * USD),
        ("Acme Robotics", old.input_nanos, USD),
    ]
    assert (preview.before_nanos, preview.after_nanos) == (7 * old.input_nanos, 7 * USD)
    assert not Price.objects.filter(note="Dearer").exists()
    client.post(ADD, dict(answer.context["sent"]) | {"_confirmed": "Make this the price"})
    made = Price.objects.get(note="Dearer")
    rate = made.rates.get()
    assert (rate.input_nanos, rate.cached_input_nanos, rate.cache_write_nanos) == (USD, 0, USD)
    assert (rate.output_nanos, rate.reasoning_output_nanos) == (2 * USD, 2 * USD)
    assert (rate.weekdays, rate.start_minute, rate.end_minute) == (0, 0, 1440)
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.details["id"]) == ("catalog.added", str(made.pk))
    text = client.get("/admin/providers/price/", {"q": "Dearer"}).content.decode()
    assert "scheduled" in text


@pytest.mark.parametrize(
    ("at", "rate", "words"),
    [
        (timedelta(days=-2), {}, "what was charged stays charged"),
        (timedelta(days=1), {"weekdays": ["1", "2"]}, "One rate must hold always"),
        (timedelta(days=1), {"input_nanos": "-1"}, "Write an amount like"),
        (timedelta(days=1), {"output_nanos": "0"}, "costs nothing for input or output"),
        (timedelta(days=1), {"output_nanos": ""}, "This field is required"),
        (timedelta(days=1), {"start_minute": "09:00"}, "Hours of the day hold on weekdays"),
        (
            timedelta(days=1),
            {"weekdays": ["1"], "start_minute": "9", "end_minute": "08:00"},
            "Write a time like",
        ),
        (
            timedelta(days=1),
            {"weekdays": ["1"], "start_minute": "09:00", "end_minute": "08:00"},
            "The hours end after they begin",
        ),
    ],
)
def test_a_price_that_cannot_be_is_not_previewed(olga, model, at, rate, words):
    text = signed_in(olga).post(ADD, form(model, timezone.now() + at, **rate)).content.decode()
    assert words in text
    assert not Price.objects.filter(note="Dearer").exists()


def test_nobody_without_the_permission_sees_a_preview(stan, model):
    allow(stan, "view_price")
    answer = signed_in(stan).post(ADD, form(model, timezone.now()))
    assert answer.status_code == 403


def test_a_plans_and_an_organizations_markup_keep_their_history(olga, db):
    cast = factories.cast()
    client = signed_in(olga)
    subscription = cast.organization.subscription
    url = reverse("admin:billing_subscription_change", args=[subscription.pk])
    client.post(url, {"markup_ppm": "1.2"})
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.organization) == ("terms.changed", cast.organization)
    assert entry.details["changes"] == {"markup_ppm": [None, 1_200_000]}
    plan = Plan.objects.get(slug="pro")
    url = reverse("admin:billing_plan_change", args=[plan.pk])
    names = ("slug", "name", "requests_per_minute", "tokens_per_minute", "body_bytes_max",
             "trial_days", "position")  # fmt: skip
    fields = {name: getattr(plan, name) for name in names} | {
        name: format_usd(getattr(plan, name))
        for name in ("fee_nanos_per_month", "included_credit_nanos")
    }
    client.post(url, fields | {"markup_ppm": "0.9", "is_public": "on"})
    entry = AuditEntry.objects.latest("id")
    assert entry.details["changes"] == {"markup_ppm": [1_000_000, 900_000]}
    history = client.get(reverse("admin:billing_plan_history", args=[plan.pk])).content.decode()
    assert "markup_ppm" in history and "900000" in history
