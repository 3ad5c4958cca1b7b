"""The playground: a conversation with a model through the real /v1, charged like any call."""

from typing import Any

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts import limits, playground
from accounts.access import KEY_ROLES, MemberRequest, member_required, require
from accounts.models import Project
from billing import receipts
from billing.models import UsageRecord
from billing.pages.requests import parse_id
from billing.templatetags.figures import money, money_exact
from gateway.pages import price_list
from gateway.pages.price_list import Listing
from providers.models import Capability

_PROJECTS_MAX = 200


@require_GET
@member_required
def page(request: MemberRequest) -> HttpResponse:
    """`?model=` chooses a model. Without JavaScript it shows the same call as code."""
    models = price_list.listings()
    names = [one.name for one in models]
    asked = request.GET.get("model", "")
    aliases = {alias: one.name for one in models for alias in one.aliases}
    chosen = aliases.get(asked, asked)
    is_gone = bool(asked) and chosen not in names
    context = {
        "models": models,
        "chosen": price_list.example_model(names) if is_gone or not asked else chosen,
        "gone": asked[:100] if is_gone else "",
        "example_model": chosen if chosen in names else price_list.example_model(names),
        "projects": _projects(request).order_by("pk")[:_PROJECTS_MAX],
        "may_use": request.membership.role in KEY_ROLES,
        "facts": {one.name: _facts(one) for one in models},
        "words": _words(),
        "starters": _starters(),
    }
    return render(request, "gateway/playground.html", context)


@require_POST
@limits.posts("30/m")
@member_required
def key(request: MemberRequest) -> HttpResponse:
    """A key for the next fifteen minutes, for the page to hold in memory."""
    require(request.membership, KEY_ROLES)
    project = get_object_or_404(_projects(request), pk=_number(request.POST.get("project", "")))
    opened = playground.open_key(project, request.user, request.session)
    seconds = int(playground.OPEN_FOR.total_seconds())
    return JsonResponse({"key": opened.secret, "seconds": seconds})


@require_GET
@member_required
def turn(request: MemberRequest, request_id: str) -> HttpResponse:
    """What one turn was charged for; 404 until it is settled, a moment after its end."""
    wanted = parse_id(request_id)
    mine = UsageRecord.objects.filter(organization_id=request.membership.organization_id)
    record = mine.filter(pk=wanted).first() if wanted else None
    if record is None:
        raise Http404
    return JsonResponse(_receipt(record))


def _projects(request: MemberRequest) -> Any:
    mine = Project.objects.filter(organization_id=request.membership.organization_id)
    return mine.filter(archived_at=None)


def _number(text: str) -> int:
    """A primary key as a form sends it; none has the number 0."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _receipt(record: UsageRecord) -> dict[str, Any]:
    seconds = (record.duration_ms - (record.first_token_ms or 0)) / 1000
    has_speed = record.completion_tokens > 1 and seconds > 0
    return {
        "url": reverse("request", args=[f"req_{record.pk.hex}"]),
        "charge": money_exact(record.charge_nanos),
        "charge_nanos": record.charge_nanos,
        "reason": record.get_billing_reason_display(),
        "is_estimated": record.is_estimated,
        "classes": [
            {
                "label": str(line.label),
                "tokens": line.tokens,
                "amount": money_exact(line.amount_nanos),
            }
            for line in receipts.make(record).lines
        ],
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "speed": round(record.completion_tokens / seconds, 1) if has_speed else None,
    }


def _facts(model: Listing) -> dict[str, Any]:
    """What the page's settings need to know of a model."""
    first = model.first
    return {
        "may_think": model.may_think,
        "always_thinks": model.reasoning,
        "json": Capability.JSON in model.capabilities,
        "output_tokens_max": model.output_tokens_max,
        "badges": model.badges,
        "input": money(first.input_nanos) if first else "–",
        "output": money(first.output_nanos) if first else "–",
        "context": f"{model.context_tokens:,}",
    }


def _starters() -> list[str]:
    return [
        _("Explain what a race condition is, with one short example."),
        _("Write a haiku about a database that never loses a row."),
        _("Give me a JSON object with three cities and their populations."),
    ]


def _words() -> dict[str, str]:
    """What the page's module says, in the reader's language."""
    return {
        "you": _("You"),
        "thinking": _("Thinking…"),
        "thought": _("Reasoning"),
        "waiting": _("Waiting for the first token…"),
        "first_token": _("first token"),
        "speed": _("tokens/s"),
        "tokens": _("tokens"),
        "receipt": _("Receipt"),
        "settling": _("Settling the charge…"),
        "unsettled": _("The charge shows in Requests shortly."),
        "estimated": _("Tokens counted by us"),
        "stopped": _("Stopped. You pay for the prompt and what had arrived."),
        "stopped_early": _("Stopped before the first token. Nothing is charged."),
        "length": _("The answer reached its token limit. Raise “Max tokens” to get more."),
        "again": _("Try again"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "total": _("Total"),
        "class": _("Class"),
        "amount": _("Amount"),
        "no_key": _("The playground could not get a key. Reload the page and sign in again."),
        "no_role": _("Your role may not use the playground. Ask an owner or admin."),
        "too_many_keys": _("Too many keys were asked for. Wait a minute, then try again."),
        "offline": _("The gateway cannot be reached. Check your connection, then try again."),
        "broke_off": _(
            "The connection broke before the end. You pay for the prompt and what had arrived."
        ),
        "provider": _("The model's provider failed. Before the first token nothing is charged."),
        "balance": _("Your balance does not cover this request. Top up, or lower “Max tokens”."),
        "to_billing": _("Go to Billing"),
        "limited": _("You have reached your plan's rate limit. Try again in %s s."),
        "to_plans": _("See plans"),
        "gone": _("This model is no longer served. Choose another one."),
        "to_models": _("See models"),
        "suspended": _("Your organization is suspended. Ask the operator what happened."),
        "invalid": _("The request was refused as invalid. Change the settings, then try again."),
        "too_large": _(
            "The conversation is larger than your plan allows. Clear it, or shorten it."
        ),
        "busy": _("The service is busy. Try again in a moment."),
        "unknown": _("Something went wrong. Try again; if it stays, see Status."),
        "to_status": _("See status"),
    }
