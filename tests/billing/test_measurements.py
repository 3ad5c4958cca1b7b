import math
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from billing import measurements, rollups
from billing.models import ModelHour, UsageRecord
from providers import seed
from tests import factories
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    seed.plant({})
    return factories.OrganizationFactory.create(name="Acme")


def roll_up() -> None:
    """As a worker would, every record there is."""
    measurements.add(0, 2**62)


def test_a_model_is_measured_by_what_was_answered_and_what_failed(organization) -> None:
    for reason, status in (
        ("completed", 200), ("completed_estimated", 200), ("client_gone", 499),
        ("upstream_failed", 502), ("upstream_died", 200), ("gateway_lost", 500),
        ("client_gone_early", 499), ("upstream_failed", 400),  # neither says anything of the model
    ):  # fmt: skip
        factories.record(organization, billing_reason=reason, status=status)
    roll_up()
    figures = measurements.recent(["qwen-turbo"])["qwen-turbo"]
    assert (figures.served, figures.failed, figures.uptime_percent) == (3, 3, 50.0)
    assert measurements.totals(["qwen-turbo", "qwen-max"]) == {
        "qwen-turbo": (3, 3), "qwen-max": (0, 0),
    }  # fmt: skip


def test_medians_are_near_the_middle_of_what_streams_took(organization) -> None:
    for first, tokens in ((200, 100), (400, 200), (10_000, 400)):
        factories.record(
            organization, is_stream=True, first_token_ms=first, duration_ms=first + 2_000,
            output_tokens=tokens,
        )  # fmt: skip
    factories.record(organization, first_token_ms=1, duration_ms=90_000)  # whole: not measured
    roll_up()
    figures = measurements.recent(["qwen-turbo"])["qwen-turbo"]
    assert figures.first_token_ms == pytest.approx(400, rel=0.2)
    assert figures.tokens_per_second == pytest.approx(100, rel=0.2)


def test_a_median_is_within_its_bucket_whatever_the_value() -> None:
    for value in (1, 7, 80, 1_000, 64_000):
        bucket = int(4 * math.log2(value))
        assert measurements.median({bucket: 9}) == pytest.approx(value, rel=0.2)
    assert measurements.median({}) is None


def test_short_streams_tell_no_speed(organization) -> None:
    factories.record(organization, is_stream=True, output_tokens=3)
    factories.record(organization, is_stream=True, first_token_ms=50, duration_ms=50)
    factories.record(organization, is_stream=True, first_token_ms=None)
    roll_up()
    assert measurements.recent(["qwen-turbo"])["qwen-turbo"].tokens_per_second is None


def test_days_are_utc_days_and_empty_ones_are_there(organization) -> None:
    now = timezone.now()
    for back in (0, 2):
        factories.record(organization, charged_at=now - timedelta(days=back))
    roll_up()
    days = measurements.daily("qwen-turbo", days=4)
    assert [one.served for one in days.values()] == [0, 1, 0, 1]
    assert list(days)[-1] == now.date()


def test_what_is_older_than_pages_show_is_not_added_and_taken_out(organization) -> None:
    factories.record(organization, charged_at=timezone.now() - timedelta(days=91))
    factories.record(organization)
    roll_up()
    assert ModelHour.objects.filter(measure="served").count() == 1
    with time_machine.travel(timezone.now() + timedelta(days=91)):
        assert measurements.prune() > 0
    assert not ModelHour.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_rollup_measures_each_record_once_and_a_rebuild_measures_anew() -> None:
    organization = scenes.make_organization()
    scenes.use(organization)
    scenes.use(organization, status=502, billing_reason="upstream_failed")
    scenes.wait_until_visible()
    assert rollups.roll_up() == 2
    rollups.roll_up()
    counted = {row.measure: row.requests for row in ModelHour.objects.filter(model="qwen-plus")}
    assert counted == {"served": 1, "failed": 1}
    ModelHour.objects.all().delete()
    rollups.rebuild()
    assert sum(ModelHour.objects.values_list("requests", flat=True)) == 2
    assert UsageRecord.objects.count() == 2
