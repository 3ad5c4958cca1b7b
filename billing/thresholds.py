"""What an organization used this month, against what it wants to be told of."""

from datetime import date

from django.db import transaction
from django.db.models import QuerySet, Sum

from accounts import audit
from accounts.models import Organization
from billing import mails, notices, periods
from billing.models import SpendAlert, Subscription, UsageDay

ALERTS_MAX = 5


class TooManyAlerts(Exception):
    """An organization has `ALERTS_MAX` at most."""


def used_this_month(organization_id: int) -> int:
    """Nanos charged since the month began (UTC), as the daily sums have them: seconds behind."""
    total = (
        UsageDay.objects.filter(organization_id=organization_id, day__gte=_month())
        .order_by()
        .aggregate(sum=Sum("charge_nanos"))["sum"]
    )
    return int(total or 0)


def add_alert(organization: Organization, threshold_nanos: int) -> SpendAlert:
    """The same threshold twice is one alert. One that is passed already waits for next month.
    Raises `TooManyAlerts`."""
    with transaction.atomic():
        # The subscription's row stands for the organization: two posts at once wait here.
        Subscription.objects.select_for_update().get(organization=organization)
        existing = SpendAlert.objects.filter(organization=organization)
        known = existing.filter(threshold_nanos=threshold_nanos).first()
        if known is not None:
            return known
        if existing.count() >= ALERTS_MAX:
            raise TooManyAlerts
        passed = used_this_month(organization.pk) >= threshold_nanos
        made = SpendAlert.objects.create(
            organization=organization,
            threshold_nanos=threshold_nanos,
            mailed_month=_month() if passed else None,
        )
        audit.record("spend_alert.added", organization, threshold_nanos=threshold_nanos)
    return made


def remove_alert(organization: Organization, pk: int) -> bool:
    """False where there is none of this number."""
    alert = SpendAlert.objects.filter(organization=organization, pk=pk).first()
    if alert is None:
        return False
    with transaction.atomic():
        alert.delete()
        threshold = alert.threshold_nanos
        audit.record("spend_alert.removed", organization, threshold_nanos=threshold)
    return True


def mail_alerts(limit: int = 200) -> int:
    """Tell once a month and alert that the month's usage has reached it; returns how many alerts.

    The claim is a guarded update in the transaction that keeps the mails, so parallel workers
    send one, and none is lost.
    """
    month = _month()
    told = 0
    for alert in _reached(month).select_related("organization")[:limit]:
        with transaction.atomic():
            if _unsent(month).filter(pk=alert.pk).update(mailed_month=month):
                used = used_this_month(alert.organization_id)
                mails.tell_of_spend(alert.organization, alert.threshold_nanos, used)
                notices.threshold_reached(alert.organization, alert.threshold_nanos, used)
                told += 1
    return told


def _unsent(month: date) -> QuerySet[SpendAlert]:
    return SpendAlert.objects.exclude(mailed_month=month)


def _reached(month: date) -> QuerySet[SpendAlert]:
    """Alerts whose organization has used so much: one query over the month's daily sums of the
    organizations that have an alert to send."""
    wanted = _unsent(month).values("organization_id")
    used = dict(
        UsageDay.objects.filter(day__gte=month, organization_id__in=wanted)
        .order_by()
        .values_list("organization_id")
        .annotate(sum=Sum("charge_nanos"))
    )
    reached = [
        pk
        for pk, organization_id, threshold in _unsent(month).values_list(
            "pk", "organization_id", "threshold_nanos"
        )
        if used.get(organization_id, 0) >= threshold
    ]
    return SpendAlert.objects.filter(pk__in=reached)


def _month() -> date:
    return periods.today().replace(day=1)
