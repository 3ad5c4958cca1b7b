"""Celery tasks of the gateway's own. None is on a request's path."""

from celery import shared_task

from gateway import history, operations, probes


@shared_task
def probe_components() -> int:
    """Look at every component, and write down how it is."""
    found = probes.look()
    history.note(found)
    return len(found)


@shared_task
def sum_past_days() -> int:
    """So that the operator's front page need only add today."""
    return operations.sum_past_days()
