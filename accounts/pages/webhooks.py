"""Settings: webhook endpoints, each with what was sent to it, and its secret shown once."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import limits
from accounts.access import KEY_ROLES, MemberRequest, gone_is_404, member_required, require
from accounts.pages import deliveries as log
from accounts.webhook_forms import EndpointForm, SecretForm
from accounts.webhooks import endpoints, events
from accounts.webhooks.models import WebhookEndpoint


@require_GET
@member_required
def endpoint_list(request: MemberRequest) -> HttpResponse:
    require(request.membership, KEY_ROLES)
    rows = request.membership.organization.webhook_endpoints.order_by("pk")
    found = log.with_latest(rows[: endpoints.ENDPOINTS_MAX])
    context = {
        "rows": found,
        "is_full": len(found) >= endpoints.ENDPOINTS_MAX,
        "endpoints_max": endpoints.ENDPOINTS_MAX,
        "types": events.TYPES.items(),
    }
    return render(request, "accounts/webhooks.html", context)


@limits.posts("20/m")
@member_required
def endpoint_new(request: MemberRequest) -> HttpResponse:
    """The form, then the secret: in this one answer and never again."""
    require(request.membership, KEY_ROLES)
    form = EndpointForm(request.POST or None, initial={"event_types": list(events.TYPES)})
    if request.method == "POST" and form.is_valid():
        try:
            made = endpoints.create(request.membership.organization, **form.cleaned_data)
        except endpoints.TooManyEndpoints:
            words = _("There are %(n)s endpoints already, as many as there may be.")
            form.add_error(None, words % {"n": endpoints.ENDPOINTS_MAX})
        else:
            return _shown_once(request, made)
    return _form(request, "accounts/endpoint_new.html", {"form": form})


@require_GET
@member_required
def endpoint(request: MemberRequest, pk: int) -> HttpResponse:
    """One endpoint and the newest of what was sent to it."""
    found = find(request, pk)
    context = {"endpoint": found, **log.page(request, found)}
    return render(request, "accounts/endpoint.html", context)


@limits.posts("20/m")
@member_required
def endpoint_change(request: MemberRequest, pk: int) -> HttpResponse:
    found = find(request, pk)
    now = {name: getattr(found, name) for name in ("url", "description", "event_types")}
    form = EndpointForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        with gone_is_404():
            endpoints.change(found, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("endpoint", pk=pk)
    return _form(request, "accounts/endpoint_change.html", {"form": form, "endpoint": found})


@limits.posts("10/m")
@member_required
def endpoint_rotate(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks how long the old secret is to sign; then shows the new one, once."""
    found = find(request, pk)
    form = SecretForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with gone_is_404():
            made = endpoints.rotate(found, form.cleaned_data["overlap"])
        return _shown_once(request, made, is_rotated=True)
    return _form(request, "accounts/endpoint_rotate.html", {"form": form, "endpoint": found})


@require_POST
@limits.posts("10/m")
@member_required
def endpoint_test(request: MemberRequest, pk: int) -> HttpResponse:
    """Sends an event that says nothing happened, and opens its delivery."""
    found = find(request, pk)
    if not found.is_enabled:
        messages.error(request, _("It is switched off: switch it on first."))
        return redirect("endpoint", pk=pk)
    sent = events.emit_test(found)
    messages.success(request, _("A test event is on its way."))
    return redirect("delivery", pk=sent.pk)


@require_POST
@limits.posts("30/m")
@member_required
def endpoint_switch(request: MemberRequest, pk: int) -> HttpResponse:
    found = find(request, pk)
    is_on = request.POST.get("to") == "on"
    endpoints.switch(found, on=is_on)
    words = (
        _("It is on: what waited goes out now.")
        if is_on
        else _("It is off: events that happen meanwhile do not go to it.")
    )
    messages.success(request, words)
    return redirect("endpoint", pk=pk)


@limits.posts("20/m")
@member_required
def endpoint_delete(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks once, saying what goes with it."""
    found = find(request, pk)
    if request.method == "POST":
        endpoints.delete(found)
        messages.success(request, _("%(name)s is told nothing more.") % {"name": found})
        return redirect("webhooks")
    return render(request, "accounts/endpoint_delete.html", {"endpoint": found})


def find(request: MemberRequest, pk: int) -> WebhookEndpoint:
    """One of the organization's, or a 404; 403 for those who may not see them. Addresses and
    answers may hold what a receiver keeps secret."""
    require(request.membership, KEY_ROLES)
    mine = WebhookEndpoint.objects.filter(organization=request.membership.organization_id)
    return get_object_or_404(mine.select_related("organization"), pk=pk)


def _form(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(request, template, context, status=422 if context["form"].is_bound else 200)


def _shown_once(
    request: HttpRequest, made: endpoints.NewSecret, *, is_rotated: bool = False
) -> HttpResponse:
    context = {"endpoint": made.row, "secret": made.secret, "is_rotated": is_rotated}
    return render(request, "accounts/endpoint_secret.html", context)
