"""Mails are kept as rows, sent by a worker, and tried again while the mail server is away."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected

import pytest
import time_machine
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.utils import timezone
from django.utils.translation import get_language

from accounts import mail, tasks
from accounts.models import OutgoingMail

pytestmark = pytest.mark.django_db


def letter() -> mail.Letter:
    return mail.Letter(
        subject="A <b>subject</b>\r\nBcc: all@example.com",
        title="Something <i>changed</i>",
        paragraphs=("First.", f"In {get_language()}."),
        facts=(("Where", "Berlin & around"),),
        link=("Look", "https://example.com/?a=1&b=2"),
        closing="Ignore it.",
    )


def down(*_: object) -> int:
    raise SMTPServerDisconnected("down")


def test_a_mail_has_text_and_html_and_nothing_remote(mailoutbox):
    mail.queue("dora@example.com", "", letter)
    assert mailoutbox == []
    assert tasks.send_mails() == 1
    [message] = mailoutbox
    assert message.to == ["dora@example.com"]
    assert message.subject == "A <b>subject</b> Bcc: all@example.com"
    [(html, kind)] = message.alternatives
    assert kind == "text/html"
    for text in ("Berlin & around", "https://example.com/?a=1&b=2", "First.", "Ignore it."):
        assert text in message.body
        assert text.replace("&", "&amp;") in html
    assert "<i>" not in html
    for remote in ("<img", "<link", "<script", "url(", "@import"):
        assert remote not in html
    assert not OutgoingMail.objects.exists()


def test_a_mail_is_written_in_the_readers_language(mailoutbox):
    mail.queue("dora@example.com", "zh-hans", letter)
    mail.deliver()
    assert "In zh-hans." in mailoutbox[0].body
    assert '<html lang="zh-hans">' in mailoutbox[0].alternatives[0][0]


@pytest.mark.django_db(transaction=True)
def test_a_mail_of_a_transaction_that_fails_is_never_sent():
    with pytest.raises(RuntimeError), transaction.atomic():
        mail.queue("dora@example.com", "", letter)
        raise RuntimeError
    assert mail.deliver() == 0


def test_a_mail_server_that_is_down_gets_the_mail_later(monkeypatch, mailoutbox):
    mail.queue("dora@example.com", "", letter)
    with monkeypatch.context() as patched:
        patched.setattr(EmailBackend, "send_messages", down)
        assert mail.deliver() == 0
    assert mail.deliver() == 0, "not at once"
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert mail.deliver() == 1
    assert len(mailoutbox) == 1


def test_a_mail_that_never_leaves_is_given_up(monkeypatch):
    mail.queue("dora@example.com", "", letter)
    monkeypatch.setattr(EmailBackend, "send_messages", down)
    for _ in range(mail.TRIES_MAX):
        assert OutgoingMail.objects.count() == 1
        OutgoingMail.objects.update(due_at=timezone.now())
        mail.deliver()
    assert not OutgoingMail.objects.exists()


def test_a_refused_address_is_not_tried_again(monkeypatch):
    def refuse(*_: object) -> int:
        raise SMTPRecipientsRefused({})

    mail.queue("dora@example.com", "", letter)
    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    assert mail.deliver() == 0
    assert not OutgoingMail.objects.exists()


def test_a_run_ends_after_failures_in_a_row_and_uses_up_no_tries(monkeypatch):
    for n in range(5):
        mail.queue(f"dora{n}@example.com", "", letter)
    tries = []

    def fail(*_: object) -> int:
        tries.append(1)
        raise SMTPServerDisconnected("down")

    monkeypatch.setattr(EmailBackend, "send_messages", fail)
    mail.deliver()
    assert len(tries) == 3
    assert sorted(OutgoingMail.objects.values_list("tries", flat=True)) == [0, 0, 1, 1, 1]
