"""Mail to customers about their money."""

from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import Organization
from billing import mails, money, notices
from billing.models import Account, Subscription

_BALANCE = F("organization__wallet__credits_posted") - F("organization__wallet__debits_posted")


def mail_low_balances(limit: int = 200) -> int:
    """Tell owners and billing members once per dip that the balance is low; returns how many
    organizations were told.

    A dip begins when the balance, holds not deducted, is found below `LOW_BALANCE_NANOS` and ends
    when it is found at or above. The claim is a guarded update in the transaction that keeps the
    mails, so parallel workers send one, and none is lost.
    """
    _end_dips()
    told = 0
    for subscription in _low().select_related("organization", "organization__wallet")[:limit]:
        claimed = Subscription.objects.filter(pk=subscription.pk, low_balance_mailed_at=None)
        with transaction.atomic():
            if claimed.update(low_balance_mailed_at=timezone.now()):
                organization = subscription.organization
                balance_nanos = organization.wallet.balance_nanos
                notices.balance_low(organization, balance_nanos, settings.LOW_BALANCE_NANOS)
                write = partial(_write, organization)
                told += mails.tell_payers(organization, write) > 0
    return told


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


def _write(organization: Organization) -> mail.Letter:
    wallet: Account = organization.wallet
    balance = f"${money.format_usd(wallet.balance_nanos)}"
    threshold = f"${money.format_usd(settings.LOW_BALANCE_NANOS)}"
    return mail.Letter(
        subject=_("Low balance: %(name)s has %(balance)s left")
        % {"name": organization.name, "balance": balance},
        about=organization.name,
        title=_("%(balance)s left") % {"balance": balance},
        paragraphs=(
            _("The balance is below %(threshold)s. When it runs out, requests are answered with "
              "402 until it is topped up. Requests already running are not cut.")
            % {"threshold": threshold},
        ),
        link=(_("Top up or see what was spent"), f"{settings.BASE_URL}{reverse('billing')}"),
        closing=_("You get this mail once each time the balance falls below that amount."),
    )  # fmt: skip
