"""Celery tasks of the gateway's own. None is on a request's path."""

from celery import shared_task

from gateway import history, probes


@shared_task
def probe_components() -> int:
    """Look at every component, and write down how it is."""
    found = probes.look()
    history.note(found)
    return len(found)
