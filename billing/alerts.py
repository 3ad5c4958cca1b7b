"""Mail to customers about their money."""

import logging
from smtplib import SMTPRecipientsRefused

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Membership, Role
from billing import money
from billing.models import Account, Subscription

logger = logging.getLogger(__name__)

_FAILURES_MAX = 3
_BALANCE = F("organization__wallet__credits_posted") - F("organization__wallet__debits_posted")


def mail_low_balances(limit: int = 200) -> int:
    """Tell owners and billing members once per dip that the balance is low; returns how many.

    A dip begins when the balance, holds not deducted, is found below `LOW_BALANCE_NANOS` and ends
    when it is found at or above. The claim is a guarded update, so parallel workers send one mail.
    A mail that cannot be handed over gives its claim back and is tried again by a later run;
    after a few failures in a row the run ends.
    """
    _end_dips()
    mailed = failures = 0
    for subscription in _low().select_related("organization", "organization__wallet")[:limit]:
        claimed = Subscription.objects.filter(pk=subscription.pk, low_balance_mailed_at=None)
        if not claimed.update(low_balance_mailed_at=timezone.now()):
            continue
        try:
            mailed += _mail(subscription)
            failures = 0
        except OSError:  # smtplib's errors are OSErrors too
            logger.exception("low-balance mail not sent to %s", subscription.organization.slug)
            Subscription.objects.filter(pk=subscription.pk).update(low_balance_mailed_at=None)
            failures += 1
            if failures == _FAILURES_MAX:
                break
    return mailed


def _low() -> QuerySet[Subscription]:
    """Below the threshold, not told yet. A wallet that was never filled has not dipped."""
    return Subscription.objects.alias(balance=_BALANCE).filter(
        balance__lt=settings.LOW_BALANCE_NANOS,
        low_balance_mailed_at=None,
        organization__wallet__credits_posted__gt=0,
        organization__suspended_at=None,
    )


def _end_dips() -> None:
    over = Subscription.objects.alias(balance=_BALANCE).filter(
        balance__gte=settings.LOW_BALANCE_NANOS, low_balance_mailed_at__isnull=False
    )
    Subscription.objects.filter(pk__in=over.values("pk")).update(low_balance_mailed_at=None)


def _mail(subscription: Subscription) -> int:
    organization = subscription.organization
    recipients = list(
        Membership.objects.filter(
            organization=organization, role__in=[Role.OWNER, Role.BILLING], user__is_active=True
        ).values_list("user__email", flat=True)
    )
    if not recipients:
        return 0
    wallet: Account = organization.wallet
    context = {
        "organization": organization,
        "balance_usd": money.format_usd(wallet.balance_nanos),
        "threshold_usd": money.format_usd(settings.LOW_BALANCE_NANOS),
        "base_url": settings.BASE_URL,
    }
    # A header is one line, whatever the organization is called.
    subject = " ".join(render_to_string("emails/low_balance_subject.txt", context).split())
    text = render_to_string("emails/low_balance.txt", context)
    html = render_to_string("emails/low_balance.html", context)
    # One message each: members need not learn each other's addresses from a header.
    for recipient in recipients:
        message = EmailMultiAlternatives(subject, text, to=[recipient])
        message.attach_alternative(html, "text/html")
        try:
            message.send()
        except SMTPRecipientsRefused:
            logger.warning("low-balance mail to a member of %s refused", organization.slug)
    return 1
