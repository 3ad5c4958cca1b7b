"""What the members who pay are told about money that moved, or did not."""

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import mail
from accounts.mail import Letter
from accounts.models import Membership, Organization, Role
from billing.templatetags.figures import money


def tell_payers(organization: Organization, write: Callable[[], Letter]) -> int:
    """To owners and billing members; returns how many there are. It goes out with the caller's
    transaction. One mail each: members need not learn each other's addresses from a header."""
    members = Membership.objects.filter(
        organization=organization, role__in=[Role.OWNER, Role.BILLING], user__is_active=True
    ).select_related("user")
    for member in members:
        mail.tell(member.user, write)
    return len(members)


def tell_of_dispute(organization: Organization, reference: str, nanos: int) -> None:
    tell_payers(organization, partial(_dispute, organization, reference, nanos))


def tell_of_failure(organization: Organization, method: str, reason: str, *, is_off: bool) -> None:
    tell_payers(organization, partial(_failure, organization, method, reason, is_off))


def tell_of_cap(organization: Organization, cap_nanos: int, charged_nanos: int) -> None:
    tell_payers(organization, partial(_cap, organization, cap_nanos, charged_nanos))


def tell_of_spend(organization: Organization, threshold_nanos: int, used_nanos: int) -> int:
    return tell_payers(organization, partial(_spend, organization, threshold_nanos, used_nanos))


def _dispute(organization: Organization, reference: str, nanos: int) -> Letter:
    facts = {"reference": reference, "name": organization.name, "amount": money(nanos)}
    return Letter(
        subject=_("Payment %(reference)s is disputed: %(name)s is suspended") % facts,
        about=organization.name,
        title=_("A bank has taken %(amount)s back") % facts,
        paragraphs=(
            _(
                "The card's holder disputed payment %(reference)s. Its amount has left the "
                "balance, and requests with your keys are refused until this is settled."
            )
            % facts,
            _(
                "If it was a mistake, ask the card's holder to withdraw the dispute at the bank, "
                "and tell the operator of this platform."
            ),
        ),
        link=(_("See the balance"), _address("billing")),
    )


def _failure(organization: Organization, method: str, reason: str, is_off: bool) -> Letter:
    facts = {"name": organization.name, "method": method}
    subject = (
        _("Automatic top-up is switched off: %(name)s")
        if is_off
        else _("Automatic top-up failed: %(name)s")
    )
    outlook = (
        _(
            "It failed three times in a row, so automatic top-up is switched off now. Requests are "
            "answered with 402 once the balance is used up."
        )
        if is_off
        else _(
            "It is tried again later. After three failures in a row automatic top-up switches "
            "itself off."
        )
    )
    return Letter(
        subject=subject % facts,
        about=organization.name,
        title=_("%(method)s could not be charged") % facts,
        paragraphs=(reason, outlook),
        link=(_("Top up, or choose another card"), _address("billing")),
    )


def _cap(organization: Organization, cap_nanos: int, charged_nanos: int) -> Letter:
    facts = {
        "name": organization.name,
        "cap": money(cap_nanos),
        "charged": money(charged_nanos),
    }
    return Letter(
        subject=_("Automatic top-up has reached its monthly limit: %(name)s") % facts,
        about=organization.name,
        title=_("%(charged)s charged automatically this month") % facts,
        paragraphs=(
            _(
                "Another charge would go past your limit of %(cap)s a month, so there is none "
                "until next month (UTC). Requests are answered with 402 once the balance is used "
                "up."
            )
            % facts,
        ),
        link=(_("Top up by hand, or raise the limit"), _address("billing")),
    )


def _spend(organization: Organization, threshold_nanos: int, used_nanos: int) -> Letter:
    facts = {
        "name": organization.name,
        "used": money(used_nanos),
        "threshold": money(threshold_nanos),
    }
    return Letter(
        subject=_("%(name)s has used %(used)s this month") % facts,
        about=organization.name,
        title=_("%(used)s used this month") % facts,
        paragraphs=(
            _("You asked to be told at %(threshold)s. Nothing is stopped by this.") % facts,
        ),
        link=(_("See what it was spent on"), _address("usage")),
        closing=_("You get this mail once a month for each amount you set."),
    )


def _address(name: str) -> str:
    return f"{settings.BASE_URL}{reverse(name)}"
