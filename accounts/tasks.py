"""Celery tasks: each wakes, makes one bounded call and forgets. The rows are the queue."""

from celery import shared_task

from accounts import mail
from accounts.webhooks import rounds


@shared_task
def send_mails() -> int:
    """Hand waiting mails to the mail server."""
    return mail.deliver()


@shared_task
def deliver_webhooks() -> int:
    """Send due events to the organizations' endpoints."""
    return rounds.run()


@shared_task
def prune_webhooks() -> int:
    """Take out webhook events that are older than is kept."""
    return rounds.prune()
