"""What providers tell: recorded at once under their own id, and acted on by a worker.

The row is the queue. A message that cannot be acted on yet is tried again, later and later; one
that contradicts what is known is parked for an operator and moves nothing.
"""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Organization
from billing.models import EventState, PaymentEvent
from billing.payments import crediting, messages
from billing.payments.matching import Mismatch, TooEarly
from billing.payments.messages import Ignored, Received

log = logging.getLogger(__name__)

# 10, 20, 40 seconds … an hour: together about half a day, then an operator looks.
ATTEMPTS_MAX = 18
_FIRST_WAIT_SECONDS = 10
_WAIT_SECONDS_MAX = 3600


def record(provider: str, received: Received) -> PaymentEvent:
    """Durably, before the provider is told that it was received. The same id again is the same
    event, whatever it says then. What means nothing here is kept, and is nobody's work."""
    state = EventState.DONE if isinstance(received.message, Ignored) else EventState.WAITING
    event, _ = PaymentEvent.objects.get_or_create(
        provider=provider,
        event_id=received.event_id[:200],
        defaults={
            "kind": messages.kind(received.message),
            "facts": messages.as_facts(received.message),
            "state": state,
            "resolved_at": timezone.now() if state == EventState.DONE else None,
        },
    )
    return event


def process_due(limit: int = 200) -> int:
    """Act on what is waiting. Returns how many were looked at."""
    due = PaymentEvent.objects.filter(state=EventState.WAITING, due_at__lte=timezone.now())
    found = list(due.order_by("due_at").values_list("pk", flat=True)[:limit])
    for pk in found:
        process(pk)
    return len(found)


def process(pk: int) -> None:
    """Act on one event in one transaction, unless another worker does. Never raises for what the
    event says: a poisoned one fails alone."""
    try:
        with transaction.atomic():
            waiting = PaymentEvent.objects.filter(pk=pk, state=EventState.WAITING)
            event = waiting.select_for_update(skip_locked=True).first()
            if event is None:
                return
            event.order = crediting.apply(event.provider, messages.from_facts(event.facts))
            event.state, event.note, event.resolved_at = EventState.DONE, "", timezone.now()
            event.save(update_fields=["order", "state", "note", "resolved_at"])
    except Mismatch as why:
        _put_aside(pk, why)
    except TooEarly as why:
        _try_again(pk, str(why))
    except Exception as error:
        log.exception("payment event %s failed", pk)
        _try_again(pk, f"{type(error).__name__}: {error}")


def retry(event: PaymentEvent) -> None:
    """An operator has set right what was in the way: act on a parked event again, now."""
    now = timezone.now()
    parked = PaymentEvent.objects.filter(pk=event.pk, state=EventState.PARKED)
    with transaction.atomic():
        changed = parked.update(state=EventState.WAITING, attempts=0, due_at=now, resolved_at=None)
        if changed:
            audit.record("payment.retried", _organization(event), str(event), id=event.pk)
    process(event.pk)


def dismiss(event: PaymentEvent) -> bool:
    """An operator has dealt with it by hand; nothing moves. False where it was not parked."""
    parked = PaymentEvent.objects.filter(pk=event.pk, state=EventState.PARKED)
    with transaction.atomic():
        changed = parked.update(state=EventState.DONE, resolved_at=timezone.now())
        if changed:
            audit.record("payment.dismissed", _organization(event), str(event), id=event.pk)
    return bool(changed)


def _organization(event: PaymentEvent) -> Organization | None:
    return event.order.organization if event.order else None


def _put_aside(pk: int, why: Mismatch) -> None:
    """For an operator, unless no money moved: then it is nobody's business here, such as a failed
    payment of something else that the same account at the provider sells."""
    event = PaymentEvent.objects.get(pk=pk)
    if why.order is None and event.kind in ("failed", "canceled"):
        event.state, event.note, event.resolved_at = EventState.DONE, str(why)[:300], timezone.now()
        event.save(update_fields=["state", "note", "resolved_at"])
        return
    log.error("payment event %s parked: %s", pk, why)
    _park(pk, str(why), order_id=why.order.pk if why.order else None)


def _park(pk: int, note: str, order_id: int | None = None) -> None:
    PaymentEvent.objects.filter(pk=pk, state=EventState.WAITING).update(
        state=EventState.PARKED, note=note[:300], order_id=order_id, resolved_at=timezone.now()
    )


def _try_again(pk: int, note: str) -> None:
    event = PaymentEvent.objects.filter(pk=pk, state=EventState.WAITING).first()
    if event is None:
        return
    if event.attempts + 1 >= ATTEMPTS_MAX:
        log.error("payment event %s parked after %s attempts: %s", pk, ATTEMPTS_MAX, note)
        _park(pk, note)
        return
    wait = min(_FIRST_WAIT_SECONDS * 2**event.attempts, _WAIT_SECONDS_MAX)
    event.attempts += 1
    event.note = note[:300]
    event.due_at = timezone.now() + timedelta(seconds=wait)
    event.save(update_fields=["attempts", "note", "due_at"])
