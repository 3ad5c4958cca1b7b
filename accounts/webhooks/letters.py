"""What the mails about webhooks say."""

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.mail import Letter
from accounts.webhooks.models import WebhookEndpoint

FAILING_DAYS = 5


def switched_off(endpoint: WebhookEndpoint, because: str) -> Letter:
    name = endpoint.organization.name
    facts = {"name": name, "host": endpoint.host, "days": FAILING_DAYS}
    reason = (
        _("It answered 410 Gone, which asks us to stop.")
        if because == "gone"
        else _("For %(days)s days, every attempt to deliver an event to it has failed.") % facts
    )
    address = f"{settings.BASE_URL.rstrip('/')}{reverse('endpoint', args=[endpoint.pk])}"
    return Letter(
        subject=_("A webhook endpoint is switched off: %(name)s") % facts,
        about=name,
        title=_("%(host)s is told nothing more") % facts,
        paragraphs=(
            reason,
            _("What waits for it is kept for 30 days, and goes out when you switch it on again. "
              "Events that happen meanwhile do not go to it."),
        ),
        link=(_("See what it answered"), address),
        closing=_("Owners and admins get this mail."),
    )  # fmt: skip
