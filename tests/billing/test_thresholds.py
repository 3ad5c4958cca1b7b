"""Soft alerts on what was used in a month."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import mail
from billing import thresholds
from billing.models import SpendAlert, UsageDay
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return scenes.make_organization()


def use(organization, nanos: int, day=None) -> None:
    UsageDay.objects.create(
        organization_id=organization.pk, model=f"m{nanos}", charge_nanos=nanos,
        day=day or timezone.now().date(),
    )  # fmt: skip


def test_each_alert_is_mailed_once_when_the_month_has_reached_it(organization, mailoutbox):
    for usd in (10, 20):
        thresholds.add_alert(organization, usd * scenes.USD)
    use(organization, 9 * scenes.USD)
    assert thresholds.mail_alerts() == 0
    use(organization, 1 * scenes.USD)
    assert thresholds.mail_alerts() == 1
    assert thresholds.mail_alerts() == 0
    mail.deliver()
    assert "$10.00" in mailoutbox[0].subject
    assert mailoutbox[0].to == ["alice@example.com"]


def test_an_alert_is_for_each_month_and_last_months_use_does_not_count(organization):
    first = timezone.now().date().replace(day=1)
    before = first - timedelta(days=1)
    alert = thresholds.add_alert(organization, scenes.USD)
    use(organization, 5 * scenes.USD, before)
    assert thresholds.mail_alerts() == 0
    use(organization, 5 * scenes.USD)
    SpendAlert.objects.filter(pk=alert.pk).update(mailed_month=before.replace(day=1))
    assert thresholds.mail_alerts() == 1
    assert thresholds.used_this_month(organization.pk) == 5 * scenes.USD


def test_an_alert_that_is_passed_when_it_is_made_waits_for_next_month(organization):
    use(organization, 5 * scenes.USD)
    thresholds.add_alert(organization, scenes.USD)
    assert thresholds.mail_alerts() == 0


def test_alerts_are_few_and_the_same_twice_is_one(organization):
    for usd in range(1, thresholds.ALERTS_MAX + 1):
        thresholds.add_alert(organization, usd * scenes.USD)
    thresholds.add_alert(organization, scenes.USD)
    with pytest.raises(thresholds.TooManyAlerts):
        thresholds.add_alert(organization, 99 * scenes.USD)
