"""What an organization lets itself use in a UTC month at most, and telling it once that is reached.

The cap stands in the wallet and holds in the statement that makes holds, so it is exact however
many requests and gateways there are. A gateway that refused a request notes it in the
subscription; that note is the queue of the mail.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.mail import Letter
from accounts.models import Organization
from billing import ledger, mails, notices, periods
from billing.models import Account, Subscription
from billing.templatetags.figures import money

# For the gateway, which notes many at once: the first refusal of a month, and the first after a
# mail that told of another month's.
NOTE_REACHED = """
UPDATE billing_subscription s SET cap_reached_at = now()
FROM billing_account a
WHERE s.organization_id = ANY(%s) AND a.organization_id = s.organization_id
  AND a.usage_cap_month_nanos IS NOT NULL
  AND (s.cap_reached_at IS NULL OR s.cap_reached_at < date_trunc('month', now(), 'UTC'))
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A month so far, in nanos, what running requests hold included."""

    used_nanos: int
    cap_nanos: int | None
    is_refusing: bool  # something was refused because of it, or nothing is left of it

    @property
    def percent(self) -> int:
        """Of the cap, at most 100."""
        return min(100, 100 * self.used_nanos // self.cap_nanos) if self.cap_nanos else 100


def standing(organization: Organization) -> Standing:
    """As the organization's wallet, where it is loaded already, had it: exact, because it is the
    count that authorizations are held against."""
    wallet: Account = organization.wallet
    used = wallet.usage_month_nanos if wallet.usage_month == _month().date() else 0
    cap = wallet.usage_cap_month_nanos
    if cap is None:
        return Standing(used, None, is_refusing=False)
    reached_at = organization.subscription.cap_reached_at
    is_refusing = reached_at is not None and reached_at >= _month()
    return Standing(used, cap, is_refusing or used >= cap)


def change(organization: Organization, nanos: int | None) -> bool:
    """Cap the month's usage at `nanos`; None takes the cap away. False where it was so already.
    Requests that run are not cut; from the commit on, none begins that would pass it."""
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update().get(organization=organization)
        before = ledger.cap_usage(organization.wallet, nanos)
        if before == nanos:
            return False
        # Another cap is reached, and told of, anew.
        subscription.cap_reached_at = subscription.cap_mailed_at = None
        subscription.save(update_fields=["cap_reached_at", "cap_mailed_at"])
        audit.record("spend_cap.changed", organization, before_nanos=before, after_nanos=nanos)
    return True


def mail_reached(limit: int = 200) -> int:
    """Tell owners and billing members, once a month and cap, that requests are refused because of
    it; returns how many organizations. The claim is a guarded update in the transaction that
    keeps the mails, so parallel workers send one, and none is lost."""
    told = 0
    rows = _untold().select_related("organization", "organization__wallet")
    for subscription in rows[:limit]:
        with transaction.atomic():
            if _untold().filter(pk=subscription.pk).update(cap_mailed_at=timezone.now()):
                now = standing(subscription.organization)
                notices.cap_reached(subscription.organization, now.cap_nanos or 0, now.used_nanos)
                mails.tell_payers(
                    subscription.organization, partial(_letter, subscription.organization)
                )
                told += 1
    return told


def _untold() -> QuerySet[Subscription]:
    month = _month()
    return Subscription.objects.filter(cap_reached_at__gte=month).filter(
        Q(cap_mailed_at=None) | Q(cap_mailed_at__lt=month)
    )


def _letter(organization: Organization) -> Letter:
    now = standing(organization)
    facts = {"name": organization.name, "cap": money(now.cap_nanos)}
    return Letter(
        subject=_("Monthly spend cap reached: %(name)s") % facts,
        about=organization.name,
        title=_("Requests are refused: your cap is %(cap)s a month") % facts,
        paragraphs=(
            _("A request was refused because it could have gone past the cap. Whatever would is "
              "answered with 402 until the next month begins (UTC) or the cap is raised. Requests "
              "already running are not cut."),
        ),
        facts=(
            (_("Used this month, with what is held"), money(now.used_nanos)),
            (_("Cap"), money(now.cap_nanos)),
        ),
        link=(_("Raise the cap"), f"{settings.BASE_URL}{reverse('spend_limits')}"),
        closing=_("You get this mail once a month, and again if the cap is changed and reached."),
    )  # fmt: skip


def _month() -> datetime:
    first = periods.today().replace(day=1)
    return datetime(first.year, first.month, 1, tzinfo=UTC)
