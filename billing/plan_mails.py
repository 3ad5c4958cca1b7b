"""What payers are told about their plan's fee, and about their invoices."""

from datetime import datetime
from functools import partial

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.mail import Letter
from billing import mails
from billing.models import CreditNote, Invoice, Subscription
from billing.money import format_minor
from billing.templatetags.figures import money


def tell_of_unpaid_fee(subscription: Subscription, nanos: int, again_at: datetime) -> None:
    mails.tell_payers(subscription.organization, partial(_unpaid, subscription, nanos, again_at))


def tell_of_fall_back(subscription: Subscription, plan_name: str) -> None:
    mails.tell_payers(subscription.organization, partial(_fell_back, subscription, plan_name))


def tell_of_trial_over(subscription: Subscription, plan_name: str) -> None:
    mails.tell_payers(subscription.organization, partial(_trial_over, subscription, plan_name))


def tell_of_invoice(invoice: Invoice) -> None:
    mails.tell_payers(invoice.organization, partial(_invoiced, invoice))


def tell_of_credit_note(note: CreditNote) -> None:
    mails.tell_payers(note.invoice.organization, partial(_credited, note))


def _unpaid(subscription: Subscription, nanos: int, again_at: datetime) -> Letter:
    name, plan = subscription.organization.name, subscription.plan.name
    facts = {"name": name, "plan": plan, "fee": money(nanos), "day": f"{again_at:%Y-%m-%d}"}
    return Letter(
        subject=_("The fee of %(plan)s could not be paid: %(name)s") % facts,
        about=name,
        title=_("%(fee)s for %(plan)s is more than the balance has") % facts,
        paragraphs=(
            _("It is tried again on %(day)s (UTC). Until then you keep the plan.") % facts,
            _("After seven days without success the organization goes back to the free plan, and "
              "these days cost nothing."),
        ),
        link=(_("Top up the balance"), _address("billing")),
    )  # fmt: skip


def _fell_back(subscription: Subscription, plan_name: str) -> Letter:
    facts = _change(subscription, plan_name)
    return Letter(
        subject=_("%(name)s is on %(plan)s now") % facts,
        about=subscription.organization.name,
        title=_("%(old)s has ended, because its fee was not paid") % facts,
        paragraphs=(
            _("The limits of %(plan)s hold from now on. Nothing was charged for the last days, "
              "and you can choose %(old)s again at any time.") % facts,
        ),
        link=(_("See the plans"), _address("billing")),
    )  # fmt: skip


def _trial_over(subscription: Subscription, plan_name: str) -> Letter:
    facts = _change(subscription, plan_name)
    return Letter(
        subject=_("The trial of %(old)s is over: %(name)s") % facts,
        about=subscription.organization.name,
        title=_("You are on %(plan)s now") % facts,
        paragraphs=(
            _("The balance could not pay the fee for the rest of the month, so the limits of "
              "%(plan)s hold from now on. Top up and choose %(old)s again to go on.") % facts,
        ),
        link=(_("See the plans"), _address("billing")),
    )  # fmt: skip


def _change(subscription: Subscription, plan_name: str) -> dict[str, str]:
    """From which plan to which."""
    return {
        "name": subscription.organization.name,
        "old": plan_name,
        "plan": subscription.plan.name,
    }


def _invoiced(invoice: Invoice) -> Letter:
    facts = {
        "number": str(invoice),
        "name": invoice.organization.name,
        "month": f"{invoice.month:%Y-%m}",
        "total": format_minor(invoice.total_minor),
    }
    return Letter(
        subject=_("Invoice %(number)s of %(month)s: %(name)s") % facts,
        about=invoice.organization.name,
        title=_("%(total)s for %(month)s") % facts,
        paragraphs=(_("It is paid already, from the balance. There is nothing to transfer."),),
        link=(_("See and download the invoice"), _address("invoice", invoice)),
    )


def _credited(note: CreditNote) -> Letter:
    facts = {
        "number": str(note),
        "invoice": str(note.invoice),
        "name": note.invoice.organization.name,
        "total": format_minor(note.total_minor),
    }
    return Letter(
        subject=_("Credit note %(number)s: %(name)s") % facts,
        about=note.invoice.organization.name,
        title=_("%(total)s is back in the balance") % facts,
        paragraphs=(_("It corrects invoice %(invoice)s: ") % facts + note.reason,),
        link=(_("See the invoice"), _address("invoice", note.invoice)),
    )


def _address(name: str, *arguments: object) -> str:
    return f"{settings.BASE_URL}{reverse(name, args=[str(one) for one in arguments])}"
