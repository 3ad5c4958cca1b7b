"""Where payment providers call: the message is checked, recorded, and answered at once. What it
means is a worker's business (`billing.payments.events`)."""

import logging

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.payments import events, gateways
from billing.payments.gateway import Forged

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 256 * 1024


@csrf_exempt
@require_POST
def webhook(request: HttpRequest, provider: str) -> HttpResponse:
    """204 once the message is durable, or known, or nobody's here; 400 for a forged one."""
    try:
        gateway = gateways.get(provider)
    except gateways.NotConfigured:
        raise Http404 from None
    if _length(request) > BODY_BYTES_MAX or len(request.body) > BODY_BYTES_MAX:
        return _refuse("too large", 413)
    try:
        received = gateway.verify(request.body, request.headers)
    except Forged as error:
        log.warning("a webhook of %s was refused: %s", provider, error)
        return _refuse("the signature is not valid", 400)
    except (KeyError, TypeError, ValueError) as error:
        # Signed, and not built as documented: whoever sends it should see that nobody read it.
        log.error("a webhook of %s cannot be read: %r", provider, error)
        return _refuse("not readable", 400)
    events.record(provider, received)
    return HttpResponse(status=204)


def _length(request: HttpRequest) -> int:
    text = request.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _refuse(why: str, status: int) -> HttpResponse:
    return HttpResponse(why, status=status, content_type="text/plain")
