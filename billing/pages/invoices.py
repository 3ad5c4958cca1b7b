"""Invoices: the months that were closed, and what each of them lists."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.access import MemberRequest, member_required
from billing.models import BillingDetails, Invoice

PAGE = 24


@member_required
def invoices(request: MemberRequest) -> HttpResponse:
    mine = Invoice.objects.filter(organization=request.membership.organization)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 10:
        mine = mine.filter(number__lt=int(before))
    rows = list(mine[: PAGE + 1])
    context = {
        "invoices": rows[:PAGE],
        "older": rows[PAGE - 1].number if len(rows) > PAGE else None,
        "is_first": "before" not in request.GET,
    }
    return render(request, "billing/invoices.html", context)


@member_required
def invoice(request: MemberRequest, number: int) -> HttpResponse:
    organization = request.membership.organization
    found = get_object_or_404(
        Invoice.objects.prefetch_related("lines"), organization=organization, number=number
    )
    details = BillingDetails.objects.filter(organization=organization).first()
    return render(request, "billing/invoice.html", {"invoice": found, "details": details})
