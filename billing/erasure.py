"""Erasing an organization: what says whose it was goes, what was booked stays.

The ledger, usage and invoices are kept as the law wants them; transfers, usage records and
payments name an organization by its number alone, and issued invoices are never edited. Everything
else that people wrote or were called is taken out here. A worker has the payment provider forget
its customer.
"""

import logging
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts import audit, erasure
from accounts.models import Organization
from billing import closing
from billing.models import (
    AdjustmentRequest,
    AutoTopUp,
    BillingDetails,
    PaymentCustomer,
    PaymentOrder,
    RedeemCode,
    SpendAlert,
)
from billing.payments import gateways
from billing.payments.gateway import Declined, Unavailable

log = logging.getLogger(__name__)

_NAME_CHARS_MIN = 3


def erase(organization: Organization, *, leaves_balance: bool = False) -> None:
    """Delete the organization where it is not yet, and take out of it everything that says whose
    it was. Again: nothing. Raises `closing.FundsLeft`."""
    with transaction.atomic():
        row = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if row.erased_at is not None:
            return
        if row.deleted_at is None:
            closing.close(row, leaves_balance=leaves_balance)
            row.refresh_from_db()
        words = _words_of(row)
        _rename(row, timezone.now())
        _forget_choices(row)
        erasure.forget_organization(row, words)
        audit.record("organization.erased", row, by=_nameless(audit.actor()))
    organization.refresh_from_db()


def forget_customers(limit: int = 50) -> int:
    """Have providers forget the customers that erased organizations were to them; returns how many
    did. One that cannot be asked is asked again by the next run."""
    rows = PaymentCustomer.objects.exclude(organization__erased_at=None).order_by("pk")
    forgotten = 0
    for row in rows[:limit]:
        try:
            gateways.get(row.provider).forget_customer(row.provider_id)
        except (Unavailable, Declined, gateways.NotConfigured) as error:
            log.warning("customer %s of %s is not forgotten yet: %s", row.pk, row.provider, error)
            continue
        row.delete()
        forgotten += 1
    return forgotten


def _words_of(organization: Organization) -> erasure.Words:
    """What it is called, and what it stated for its invoices."""
    details = BillingDetails.objects.filter(organization=organization).first()
    texts = {organization.name.strip(), organization.slug}
    if details is not None:
        texts |= {details.company, details.line_1, details.line_2, details.vat_id}
    found = sorted((one for one in texts if len(one) >= _NAME_CHARS_MIN), key=len, reverse=True)
    return erasure.Words(tuple(found), f"organization-{organization.pk}")


def _rename(organization: Organization, now: datetime) -> None:
    organization.name = f"Erased organization {organization.pk}"
    organization.slug = f"erased-{organization.pk}"
    organization.erased_at = now
    organization.save(update_fields=["name", "slug", "erased_at"])
    for project in organization.projects.all():
        project.name = f"Project {project.pk}"
        project.save(update_fields=["name"])
    for key in organization.api_keys.all().iterator():
        key.name, key.allowed_addresses, key.created_by = f"Key {key.pk}", [], None
        key.save(update_fields=["name", "allowed_addresses", "created_by"])


def _forget_choices(organization: Organization) -> None:
    """Its address, its card and its alerts; who paid and who redeemed what."""
    for model in (BillingDetails, AutoTopUp, SpendAlert):
        model._default_manager.filter(organization=organization).delete()
    PaymentOrder.objects.filter(organization=organization).update(created_by=None, failure="")
    RedeemCode.objects.filter(organization=organization).update(redeemed_by=None)
    AdjustmentRequest.objects.filter(organization=organization).update(reason="Erased")


def _nameless(actor: audit.Actor) -> audit.Actor:
    """A customer who erases their own leaves no address; an operator does."""
    if actor.is_operator:
        return actor
    return audit.Actor(actor.user_id, erasure.pseudonym(actor.user_id), is_operator=False)
