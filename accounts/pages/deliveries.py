"""Settings: what was sent to a webhook endpoint, what it answered, and sending it again."""

import json
from typing import Any

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts import limits
from accounts.access import KEY_ROLES, MemberRequest, member_required, require
from accounts.webhooks import deliveries, transport
from accounts.webhooks.models import (
    DeliveryState,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)

_PAGE = 25
_CURSOR_DIGITS_MAX = 18
# Why an attempt was none, as people read it; statuses speak for themselves.
TROUBLES = {
    "address": gettext_lazy("Not called: the address is not one we call"),
    "name": gettext_lazy("No address found for its name"),
    "timeout": gettext_lazy("No answer in time"),
    "connection": gettext_lazy("No connection"),
    "tls": gettext_lazy("The certificate was not accepted"),
    "answer": gettext_lazy("The answer was not HTTP"),
    "redirect": gettext_lazy("A redirect, which is not followed"),
    "status": gettext_lazy("Not a 2xx status"),
}


@require_GET
@member_required
def delivery(request: MemberRequest, pk: int) -> HttpResponse:
    """What was sent, every attempt, and what came back."""
    found = _find(request, pk)
    attempts = list(found.log.order_by("-number")[: deliveries.ATTEMPTS_MAX])
    context = {
        "delivery": found,
        "attempts": [(one, TROUBLES.get(one.error, "")) for one in attempts],
        "latest": attempts[0] if attempts else None,
        "headers": _headers(found, attempts[0]) if attempts else "",
        "payload": json.dumps(json.loads(found.event.body), indent=2, ensure_ascii=False),
        "tries_max": deliveries.TRIES_MAX,
        "may_send": found.endpoint.is_enabled and not found.is_in_flight,
    }
    return render(request, "accounts/delivery.html", context)


@require_POST
@limits.posts("30/m")
@member_required
def delivery_again(request: MemberRequest, pk: int) -> HttpResponse:
    found = _find(request, pk)
    try:
        deliveries.again(found)
    except deliveries.NotNow:
        words = _("Not sent: it is on its way now, was sent too often, or the endpoint is off.")
        messages.error(request, words)
    else:
        messages.success(request, _("On its way again."))
    return redirect("delivery", pk=pk)


def page(request: HttpRequest, endpoint: WebhookEndpoint) -> dict[str, Any]:
    """A page of the endpoint's deliveries, newest first, and what it is narrowed to."""
    rows = WebhookDelivery.objects.filter(endpoint=endpoint).select_related("event")
    state = request.GET.get("state", "")
    if state in DeliveryState.values:
        rows = rows.filter(state=state)
    before = request.GET.get("before", "")
    is_first = not (before.isascii() and before.isdigit() and len(before) <= _CURSOR_DIGITS_MAX)
    if not is_first:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.order_by("-pk")[: _PAGE + 1])
    return {
        "rows": [(one, TROUBLES.get(one.last_error, "")) for one in found[:_PAGE]],
        "older": found[_PAGE - 1].pk if len(found) > _PAGE else None,
        "is_first": is_first,
        "state": state if state in DeliveryState.values else "",
        "states": DeliveryState.choices,
    }


def with_latest(
    endpoints: QuerySet[WebhookEndpoint],
) -> list[tuple[WebhookEndpoint, WebhookDelivery | None]]:
    """Each endpoint and the last that was sent to it: one look into the index for each."""
    tried = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), last_at__isnull=False)
    rows = list(endpoints.annotate(latest=Subquery(tried.order_by("-pk").values("pk")[:1])))
    latest = WebhookDelivery.objects.in_bulk([row.latest for row in rows if row.latest])
    return [(row, latest.get(row.latest)) for row in rows]


def _headers(found: WebhookDelivery, attempt: WebhookAttempt) -> str:
    """As the latest attempt had them."""
    lines = {
        "content-type": "application/json",
        "user-agent": transport.USER_AGENT,
        "webhook-id": found.event.wire_id,
        "webhook-timestamp": int(attempt.started_at.timestamp()),
        "webhook-signature": attempt.signature,
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def _find(request: MemberRequest, pk: int) -> WebhookDelivery:
    require(request.membership, KEY_ROLES)
    mine = WebhookDelivery.objects.filter(endpoint__organization=request.membership.organization_id)
    return get_object_or_404(mine.select_related("event", "endpoint"), pk=pk)
