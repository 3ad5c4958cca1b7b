"""Requests: the latest first, filtered, live; one by its id, and its receipt."""

import json
import re
import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, member_required
from accounts.models import ApiKey, Organization, Project
from billing import receipts, request_log
from billing.models import UsageRecord
from billing.receipt_json import describe
from billing.request_forms import RequestFilterForm

_WIRE_ID = re.compile(r"(?:req_)?([0-9a-f]{32})")


def parse_id(text: str) -> uuid.UUID | None:
    """`req_` and 32 hex digits as on the wire, or a UUID as people paste it; else None."""
    found = _WIRE_ID.fullmatch(text.strip().lower().replace("-", ""))
    return uuid.UUID(found[1]) if found else None


@member_required
def requests(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    query = request.GET.get("q", "").strip()
    if query:
        return _search(request, organization, query)
    form = RequestFilterForm(request.GET, organization)
    filters = form.filters()
    before = parse_id(request.GET.get("before", ""))
    page = request_log.find(organization.pk, filters, before)
    context = {
        "page": page,
        "rows": page.rows,
        "older": page.older.hex if page.older else None,
        "is_first": before is None,
        "form": form,
        "filters": filters,
        "looked_through": request_log.LOOKED_THROUGH_MAX,
    }
    return render(request, "billing/requests.html", context)


@require_GET
@member_required
def latest_requests(request: MemberRequest) -> HttpResponse:
    """The first page's rows alone, which the live log asks for every few seconds."""
    organization = request.membership.organization
    form = RequestFilterForm(request.GET, organization)
    page = request_log.find(organization.pk, form.filters())
    return render(request, "parts/_request_rows.html", {"rows": page.rows})


def _search(request: HttpRequest, organization: Organization, query: str) -> HttpResponse:
    wanted = parse_id(query)
    mine = UsageRecord.objects.filter(organization_id=organization.pk)
    if wanted and mine.filter(pk=wanted).exists():
        return redirect("request", request_id=f"req_{wanted.hex}")
    context = {"query": query, "not_found": True}
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
    receipt = receipts.make(record)
    facts = describe(record, receipt, key.name if key else None, project.name if project else None)
    context: dict[str, Any] = {
        "record": record,
        "wire_id": f"req_{record.pk.hex}",
        "receipt": receipt,
        "key": key,
        "project": project,
        "speed": facts["tokens_per_second"],
        "json": json.dumps(facts, indent=2, ensure_ascii=False),
    }
    return render(request, "billing/request.html", context)
