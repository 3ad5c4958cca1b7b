"""API keys: the list, a new one shown once, its limits changed, rotating and revoking."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts import key_list as listing
from accounts import keys, limits
from accounts.access import KEY_ROLES, MemberRequest, member_required, require
from accounts.key_forms import KeyChangeForm, KeyForm, RotateForm
from accounts.models import ApiKey, Organization
from billing import spending
from billing.periods import parse
from gateway.pages import price_list

# What a select can be read for.
_CHOICES_MAX = 200
_CURSOR_DIGITS_MAX = 18


@member_required
def key_list(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    filters = _filters(request)
    page = listing.find(organization.pk, filters, _number(request, "before") or None)
    has_any = organization.api_keys.lasting().exists
    context = {
        "rows": page.rows,
        "older": page.older,
        "is_first": not _number(request, "before"),
        "filters": filters,
        "projects": list(organization.projects.order_by("name")[:_CHOICES_MAX]),
        "makers": _makers(organization),
        "searched_max": listing.SEARCHED_MAX,
        "is_new": not page.rows and not filters.are_set and not has_any(),
    }
    return render(request, "gateway/keys.html", context)


@limits.posts("30/m")
@member_required
def key_new(request: MemberRequest) -> HttpResponse:
    """The form, then the key itself: in this one answer and never again."""
    require(request.membership, KEY_ROLES)
    organization = request.membership.organization
    names = price_list.names()
    form = KeyForm(request.POST or None, organization=organization, models=names)
    if request.method == "POST" and form.is_valid():
        project = form.cleaned_data["project"]
        made = keys.create(project, created_by=request.user, **form.limits())
        return _shown_once(request, made, names)
    return _form(request, "gateway/key_new.html", {"form": form})


@limits.posts("60/m")
@member_required
def key_change(request: MemberRequest, pk: int) -> HttpResponse:
    key = _changeable(request, pk)
    if not key.is_live:
        return redirect("key", pk=pk)
    form = KeyChangeForm(request.POST or None, key=key, models=price_list.names())
    if request.method == "POST" and form.is_valid():
        if keys.change(key, **form.limits()):
            messages.success(request, _("Saved. The gateways go by it within a second."))
        return redirect("key", pk=pk)
    return _form(request, "gateway/key_change.html", {"form": form, "key": key})


@limits.posts("30/m")
@member_required
def key_rotate(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks how long the old one is to live on; then shows the new one, once."""
    key = _changeable(request, pk)
    form = RotateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = keys.rotate(key, form.cleaned_data["overlap"], by=request.user)
        except keys.NotRotatable:
            messages.error(request, _("Not rotated: the key is closed or was rotated already."))
            return redirect("key", pk=pk)
        return _shown_once(request, made, price_list.names(), old=key)
    return _form(request, "gateway/key_rotate.html", {"form": form, "key": key})


@limits.posts("30/m")
@member_required
def key_revoke(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks once, saying what breaks; then revokes."""
    key = _changeable(request, pk)
    if request.method == "POST":
        if keys.revoke(key):
            text = _("“%(name)s” is revoked. Requests with it get a 401.")
            messages.success(request, text % {"name": key.name})
        return redirect("keys")
    filters = spending.Filters(key=key.pk)
    week = spending.table(key.organization_id, parse("7d"), "model", "requests", filters)
    context = {"key": key, "week": week.total, "models": week.groups("requests")[:5]}
    return render(request, "gateway/key_revoke.html", context)


def find(organization: Organization, pk: int) -> ApiKey:
    """One of the organization's keys, or a 404."""
    mine = ApiKey.objects.lasting().filter(organization=organization)
    return get_object_or_404(
        mine.select_related("project", "created_by", "rotated_from", "rotated_to"), pk=pk
    )


def _changeable(request: MemberRequest, pk: int) -> ApiKey:
    require(request.membership, KEY_ROLES)
    return find(request.membership.organization, pk)


def _form(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(request, template, context, status=422 if context["form"].is_bound else 200)


def _shown_once(
    request: HttpRequest, made: keys.NewKey, names: list[str], old: ApiKey | None = None
) -> HttpResponse:
    context = {
        "key": made.row,
        "old": old,
        "secret": made.secret,
        "code_key": made.secret,
        "example_model": price_list.example_model(made.row.allowed_models or names),
    }
    return render(request, "gateway/key_created.html", context)


def _filters(request: HttpRequest) -> listing.Filters:
    state = request.GET.get("state", "live")
    return listing.Filters(
        text=request.GET.get("q", "").strip().replace("\0", "")[:200],
        state=state if state in listing.STATES else "live",
        project_id=_number(request, "project"),
        created_by_id=_number(request, "member"),
    )


def _number(request: HttpRequest, name: str) -> int:
    """A positive number in the URL; zero where there is none."""
    text = request.GET.get(name, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= _CURSOR_DIGITS_MAX
    return int(text) if is_number else 0


def _makers(organization: Organization) -> list[tuple[int, str]]:
    """Members who may have made keys."""
    people = organization.members.order_by("email").values_list("pk", "email")
    return list(people[:_CHOICES_MAX])
