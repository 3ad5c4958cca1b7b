"""From sign-up to the first request on one page: a key, code to paste, and proof it arrived."""

from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts import keys
from accounts.access import MemberRequest, member_required
from accounts.models import ApiKey, Membership, Organization
from billing.models import UsageRecord
from billing.templatetags.figures import money, tokens
from gateway.pages import price_list

PLACEHOLDER = "$TTONK_API_KEY"


@require_GET
@member_required
def welcome(request: MemberRequest) -> HttpResponse:
    """Shows the organization's very first key, made here, once. Later visits show no secret."""
    organization = request.membership.organization
    made = _first_key(request.membership)
    models = price_list.listings()
    context = {
        "secret": made.secret if made else None,
        "key": made.row if made else organization.api_keys.lasting().live().order_by("pk").first(),
        "code_key": made.secret if made else PLACEHOLDER,
        "first": _first_request(organization),
        "example_model": price_list.example_model([one.name for one in models]),
        "stand_ins": [one.name for one in models if one.is_stand_in],
    }
    return render(request, "gateway/welcome.html", context)


@require_GET
@member_required
def first_request(request: MemberRequest) -> HttpResponse:
    """What the page asks every two seconds: has anything arrived?"""
    record = _first_request(request.membership.organization)
    if record is None:
        return JsonResponse({"received": False})
    return JsonResponse(
        {
            "received": True,
            "model": record.model,
            "tokens": tokens(record.prompt_tokens + record.completion_tokens),
            "charge": money(record.charge_nanos),
            "url": reverse("request", args=[f"req_{record.pk.hex}"]),
        }
    )


def _first_key(membership: Membership) -> keys.NewKey | None:
    """A key for an organization that never had one; two tabs at once still make only one."""
    if not membership.may_manage_keys:
        return None
    with transaction.atomic():
        organization = Organization.objects.select_for_update().get(pk=membership.organization_id)
        if ApiKey.objects.lasting().filter(organization=organization).exists():
            return None
        project = organization.projects.filter(archived_at=None).order_by("pk").first()
        if project is None:
            return None
        # The page in front of them says it: no mail.
        return keys.create(project, "First key", created_by=membership.user, announce=False)


def _first_request(organization: Organization) -> UsageRecord | None:
    """One row, from the index by organization."""
    return UsageRecord.objects.filter(organization_id=organization.pk).order_by("-id").first()
