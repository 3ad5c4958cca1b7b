"""Celery tasks: each wakes, makes one bounded call and forgets. The rows are the queue."""

from celery import shared_task

from accounts import mail


@shared_task
def send_mails() -> int:
    """Hand waiting mails to the mail server."""
    return mail.deliver()
