"""Mail to people: written in their language, kept as a row, sent by a worker.

A page only keeps the row, inside its own transaction: what is rolled back is never sent, and a
mail server that is slow or away delays nobody. A row lives until the mail server has taken it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language, override

from accounts.models import OutgoingMail, User

log = logging.getLogger(__name__)

TRIES_MAX = 8
_FAILURES_MAX = 3  # in a row: then the mail server is away
_SUBJECT_CHARACTERS_MAX = 200
# A worker that died while sending gives its mails to the next after this time.
_CLAIM = timedelta(minutes=10)
_PAUSE = timedelta(minutes=1)  # doubled after every try


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says; how it looks stands in `templates/emails/`. Plain text everywhere."""

    subject: str
    title: str
    paragraphs: tuple[str, ...] = ()
    about: str = ""  # a small line over the title: which organization or account
    facts: tuple[tuple[str, str], ...] = ()
    link: tuple[str, str] | None = None  # words and address
    closing: str = ""  # small print: why this came, and what to do if it should not have


def queue(to: str, language: str, write: Callable[[], Letter]) -> None:
    """Keep the mail that `write` makes in `language`; empty is the current one."""
    with override(language or get_language()):
        letter = write()
        context = {"letter": letter, "base_url": settings.BASE_URL}
        OutgoingMail.objects.create(
            recipient=to,
            # A header is one line, whatever an organization is called.
            subject=" ".join(letter.subject.split())[:_SUBJECT_CHARACTERS_MAX],
            text=render_to_string("emails/letter.txt", context).strip() + "\n",
            html=render_to_string("emails/letter.html", context),
        )


def tell(user: User, write: Callable[[], Letter]) -> None:
    """The same to a person, in the language they chose."""
    queue(user.email, user.language, write)


def deliver(limit: int = 100) -> int:
    """Hand due mails to the mail server, oldest first; returns how many it took.

    What fails is tried again later, `TRIES_MAX` times; after a few failures in a row the run
    ends. An address the server refuses is not tried again.
    """
    from smtplib import SMTPRecipientsRefused  # the worker's alone

    sent = failures = 0
    for mail in _claim(limit):
        if failures == _FAILURES_MAX:
            _give_back(mail)
            continue
        try:
            _send(mail)
        except SMTPRecipientsRefused:
            log.warning("the mail server refused the recipient of mail %s", mail.pk)
        except OSError:  # smtplib's errors are OSErrors too
            failures += 1
            _postpone(mail)
            continue
        else:
            sent += 1
            failures = 0
        mail.delete()
    return sent


def _claim(limit: int) -> list[OutgoingMail]:
    """Mails that no other worker will touch for a while."""
    with transaction.atomic():
        due = OutgoingMail.objects.filter(due_at__lte=timezone.now()).order_by("due_at", "pk")
        mine = list(due.select_for_update(skip_locked=True)[:limit])
        OutgoingMail.objects.filter(pk__in=[mail.pk for mail in mine]).update(
            due_at=timezone.now() + _CLAIM, tries=F("tries") + 1
        )
    for mail in mine:
        mail.tries += 1
    return mine


def _send(mail: OutgoingMail) -> None:
    message = EmailMultiAlternatives(mail.subject, mail.text, to=[mail.recipient])
    message.attach_alternative(mail.html, "text/html")
    message.send()


def _postpone(mail: OutgoingMail) -> None:
    if mail.tries >= TRIES_MAX:
        log.error("mail %s given up after %s tries", mail.pk, mail.tries)
        mail.delete()
        return
    log.warning("mail %s not sent, try %s", mail.pk, mail.tries, exc_info=True)
    due_at = timezone.now() + _PAUSE * 2 ** (mail.tries - 1)
    OutgoingMail.objects.filter(pk=mail.pk).update(due_at=due_at)


def _give_back(mail: OutgoingMail) -> None:
    """As if it had not been claimed, but after a pause."""
    OutgoingMail.objects.filter(pk=mail.pk).update(
        due_at=timezone.now() + _PAUSE, tries=F("tries") - 1
    )
