"""Requests: the latest first, one by its id, and its receipt."""

import re
import uuid

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts.access import MemberRequest, member_required
from accounts.models import ApiKey, Project
from billing import receipts
from billing.models import UsageRecord

PAGE = 50
_WIRE_ID = re.compile(r"(?:req_)?([0-9a-f]{32})")


def parse_id(text: str) -> uuid.UUID | None:
    """`req_` and 32 hex digits as on the wire, or a UUID as people paste it; else None."""
    found = _WIRE_ID.fullmatch(text.strip().lower().replace("-", ""))
    return uuid.UUID(found[1]) if found else None


@member_required
def requests(request: MemberRequest) -> HttpResponse:
    mine = UsageRecord.objects.filter(organization_id=request.membership.organization_id)
    query = request.GET.get("q", "").strip()
    if query:
        wanted = parse_id(query)
        if wanted and mine.filter(pk=wanted).exists():
            return redirect("request", request_id=f"req_{wanted.hex}")
        return render(request, "billing/requests.html", {"query": query, "not_found": True})
    page = mine.order_by("-id")
    before = parse_id(request.GET.get("before", ""))
    if before:
        page = page.filter(pk__lt=before)
    rows = list(page[: PAGE + 1])
    context = {
        "rows": rows[:PAGE],
        "older": rows[PAGE - 1].pk.hex if len(rows) > PAGE else None,
        "is_first": before is None,
    }
    return render(request, "billing/requests.html", context)


@member_required
def request_detail(request: MemberRequest, request_id: str) -> HttpResponse:
    organization = request.membership.organization
    wanted = parse_id(request_id)
    if wanted is None:
        raise Http404
    mine = UsageRecord.objects.filter(organization_id=organization.pk)
    record = get_object_or_404(mine, pk=wanted)
    key = ApiKey.objects.filter(pk=record.api_key_id or 0, organization=organization).first()
    project = Project.objects.filter(pk=record.project_id or 0, organization=organization).first()
    seconds = (record.duration_ms - (record.first_token_ms or 0)) / 1000
    context = {
        "record": record,
        "wire_id": f"req_{record.pk.hex}",
        "receipt": receipts.make(record),
        "key": key,
        "project": project,
        "speed": record.completion_tokens / seconds
        if record.is_stream and record.completion_tokens and seconds > 0
        else None,
    }
    return render(request, "billing/request.html", context)
