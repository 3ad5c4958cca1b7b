"""Pages that no address shows when one likes: mails, and what is said when something is broken.

`write` makes their HTML in each language; the tour of the pages shows it at /paper/NAME."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone
from django.utils.translation import override

from accounts import letters, mail
from accounts.devices import Device
from accounts.models import Organization, OutgoingMail, User
from billing import mails, plan_mails
from billing.models import Invoice
from tests.factories import USD

BROKEN = {
    "bad-request": "400.html",
    "forged": "403_csrf.html",
    "too-many": "429.html",
    "broken": "500.html",
    "status-away": "gateway/status_away.html",
}


def write(organization: Organization) -> dict[str, dict[str, str]]:
    """By language, then by name."""
    found = {}
    for language, _ in settings.LANGUAGES:
        with override(language):
            found[language] = {**_broken(), **_mails(organization, language)}
    return found


def _broken() -> dict[str, str]:
    return {
        name: render_to_string(template, {"theme": "system"}, _request())
        for name, template in BROKEN.items()
    }


def _request() -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    request.session = {}  # type: ignore[assignment]
    return request


def _mails(organization: Organization, language: str) -> dict[str, str]:
    owner = User.objects.get(memberships__organization=organization, memberships__role="owner")
    User.objects.filter(pk=owner.pk).update(language=language)
    try:
        return {f"mail-{name}": _html(send) for name, send in _senders(organization, owner).items()}
    finally:
        User.objects.filter(pk=owner.pk).update(language="")


def _html(send: Callable[[], Any]) -> str:
    """Of the mail that this queues, which then never leaves."""
    before = set(OutgoingMail.objects.values_list("pk", flat=True))
    send()
    made = OutgoingMail.objects.exclude(pk__in=before)
    html = made.earliest("pk").html
    made.delete()
    return html


def _senders(organization: Organization, owner: User) -> dict[str, Callable[[], Any]]:
    base = settings.BASE_URL
    facts = {
        "email": owner.email,
        "activate_url": f"{base}/accounts/confirm-email/x/",
        "password_reset_url": f"{base}/accounts/password/reset/key/x/",
        "device": Device("Firefox on Linux", "203.0.113.9", timezone.now()),
    }
    key = organization.api_keys.earliest("pk")
    invoice = Invoice.objects.get(organization=organization)
    again_at = timezone.now() + timedelta(days=1)
    tell = mail.tell
    return {
        "confirm": lambda: tell(owner, lambda: letters.of_account("email_confirmation", facts)),
        "reset": lambda: tell(owner, lambda: letters.of_account("password_reset_key", facts)),
        "changed": lambda: tell(owner, lambda: letters.of_account("password_changed", facts)),
        "sign-in": lambda: tell(owner, lambda: letters.new_sign_in(facts["device"])),  # type: ignore[arg-type]
        "key": lambda: tell(owner, lambda: letters.key_created(key, owner.email)),
        "deleted": lambda: tell(owner, letters.account_deleted),
        "spend": lambda: mails.tell_of_spend(organization, 50 * USD, 51 * USD),
        "failure": lambda: mails.tell_of_failure(
            organization, "Visa •••• 4242", "Your card has insufficient funds.", is_off=True
        ),
        "invoice": lambda: plan_mails.tell_of_invoice(invoice),
        "fee": lambda: plan_mails.tell_of_unpaid_fee(organization.subscription, 49 * USD, again_at),
    }
