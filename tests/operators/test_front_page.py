"""The operator's front page, and who gets as far as that."""

from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.models import UsageDay
from billing.periods import today
from gateway import operations, tasks
from gateway.models import Heartbeat
from providers import seed
from providers.models import Channel, Model, Provider
from tests import factories
from tests.operators.conftest import allow, signed_in

pytestmark = pytest.mark.django_db
USD = factories.USD


def use(organization, model: str, usd: int, **facts) -> None:
    facts = {"day": today(), "requests": 10} | facts
    UsageDay.objects.create(
        organization_id=organization.pk, model=model, charge_nanos=usd * USD, **facts
    )


def test_it_adds_up_models_customers_and_today(olga, cast):
    use(cast.organization, "qwen-plus", 6, errors=1)
    use(cast.outside, "qwen-plus", 1)
    use(cast.organization, "deepseek-chat", 3, day=today() - timedelta(29))
    use(cast.organization, "qwen-plus", 500, day=today() - timedelta(30))
    found = operations.read()
    assert (found.total.charge_nanos, found.total.requests) == (10 * USD, 30)
    assert (found.today.charge_nanos, found.today.errors) == (7 * USD, 1)
    assert [(one.name, one.charge_nanos, one.share_percent) for one in found.models] == [
        ("qwen-plus", 7 * USD, 70.0), ("deepseek-chat", 3 * USD, 30.0),
    ]  # fmt: skip
    assert [(one.name, one.charge_nanos) for one in found.customers] == [
        ("Acme Robotics", 9 * USD), ("Charlie's", USD),
    ]  # fmt: skip
    assert found.margin_nanos is None
    text = signed_in(olga).get("/admin/").content.decode()
    for words in ("$10.00", "qwen-plus", "Acme Robotics", "unknown", "Operator loss"):
        assert words in text, words


def test_days_that_are_over_are_summed_by_a_worker_and_today_by_the_page(cast):
    yesterday = today() - timedelta(1)
    use(cast.organization, "qwen-plus", 6, day=yesterday)
    assert tasks.sum_past_days() == 1
    use(cast.organization, "qwen-plus", 4)
    use(cast.outside, "qwen-max", 1)
    with CaptureQueriesContext(connection) as asked:
        found = operations.read()
    assert found.total.charge_nanos == 11 * USD
    assert [one.charge_nanos for one in found.customers] == [10 * USD, USD]
    assert sum("billing_usageday" in one["sql"] for one in asked) == 2
    assert operations.read() == found


def test_an_empty_platform_has_a_front_page(olga):
    text = signed_in(olga).get("/admin/").content.decode()
    assert "Nothing was used yet." in text


def test_channels_in_trouble_stand_first(olga, db):
    seed.plant({})
    models = Model.objects.order_by("pk")[:2]
    good, bad = (
        Channel.objects.create(provider=Provider.objects.get(slug="alibaba"), model=model,
                               base_url="http://127.0.0.1:1", upstream_model="m")
        for model in models
    )  # fmt: skip
    Heartbeat.objects.create(
        process="00000000-0000-0000-0000-000000000001", at=timezone.now(),
        facts={"channels": {good.pk: [90, 0], bad.pk: [3, 2]}},
    )  # fmt: skip
    found = operations.read()
    assert [(one.pk, one.failing) for one in found.channels] == [(bad.pk, 1), (good.pk, 0)]
    assert found.gateways == 1


def test_it_asks_as_much_for_many_customers_as_for_one(olga, cast):
    use(cast.organization, "qwen-plus", 1)
    with CaptureQueriesContext(connection) as few:
        operations._read()
    for organization in factories.OrganizationFactory.create_batch(12):
        use(organization, f"model-{organization.pk}", 2)
    cache.clear()
    with CaptureQueriesContext(connection) as many:
        found = operations._read()
    assert len(few) == len(many)
    assert len(found.customers) == len(found.models) == operations.ROWS_MAX


def test_staff_without_the_permission_see_no_figures(stan, cast):
    use(cast.organization, "qwen-plus", 6)
    text = signed_in(stan).get("/admin/").content.decode()
    assert "$6.00" not in text and "Revenue" not in text


# --- the second factor --------------------------------------------------------------------------


@pytest.fixture
def strict(settings):
    settings.STAFF_SECOND_FACTOR = True


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/organization/"])
def test_without_a_second_factor_an_operator_is_sent_to_set_one_up(strict, olga, path):
    client = signed_in(olga)
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("mfa_index"))
    assert "Set one up" in client.get(reverse("mfa_index")).content.decode()


def test_nothing_is_done_without_it_either(strict, olga, cast):
    url = reverse("admin:accounts_organization_standing", args=[cast.organization.pk])
    signed_in(olga).post(url, {"to": "suspended"})
    cast.organization.refresh_from_db()
    assert cast.organization.suspended_at is None


@pytest.mark.parametrize("kind", ["totp", "webauthn"])
def test_with_an_app_or_a_passkey_the_admin_opens(strict, olga, kind):
    Authenticator.objects.create(user=olga, type=kind, data={})
    assert signed_in(olga).get("/admin/").status_code == 200


def test_recovery_codes_alone_are_no_second_factor(strict, olga):
    Authenticator.objects.create(user=olga, type="recovery_codes", data={})
    assert signed_in(olga).get("/admin/").status_code == 302


def test_one_can_sign_out_without_it(strict, olga):
    client = signed_in(olga)
    client.post("/admin/logout/")
    assert "_auth_user_id" not in client.session


def test_somebody_who_is_no_operator_is_not_told_of_it(strict, stan, cast):
    allow(stan)
    answer = signed_in(cast.alice).get("/admin/")
    assert "/admin/login/" in answer.headers["Location"]


def test_the_operators_pages_send_nothing_that_the_browser_must_trust(olga, cast):
    """No page of ours in the admin has a script or a style of its own inside it."""
    client = signed_in(olga)
    pk = cast.organization.pk
    for path in ("/admin/", f"/admin/accounts/organization/{pk}/change/",
                 f"/admin/accounts/organization/{pk}/adjust/", "/admin/billing/redeemcode/make/",
                 f"/admin/accounts/organization/{pk}/history/"):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 200, path
        text = answer.content.decode()
        assert "<style" not in text and " style=" not in text and " onclick=" not in text
        assert "'unsafe" not in answer.headers["Content-Security-Policy"]
