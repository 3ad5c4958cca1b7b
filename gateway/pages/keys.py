"""API keys: the list, a new one shown once, and revoking."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts import keys, limits
from accounts.access import KEY_ROLES, MemberRequest, member_required, require
from accounts.forms import KeyForm
from accounts.models import ApiKey, Organization
from gateway.pages import price_list

_SHOWN_MAX = 200
_CREATED_WITH = (
    "expires_at",
    "allowed_models",
    "allowed_addresses",
    "spend_cap_day_nanos",
    "spend_cap_month_nanos",
)


@member_required
def key_list(request: MemberRequest) -> HttpResponse:
    organization = request.membership.organization
    rows = list(_keys(organization)[: _SHOWN_MAX + 1])
    context = {
        "live": [key for key in rows[:_SHOWN_MAX] if key.is_live],
        "closed": [key for key in rows[:_SHOWN_MAX] if not key.is_live],
        "has_more": len(rows) > _SHOWN_MAX,
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
        data = form.cleaned_data
        made = keys.create(
            data["project"],
            data["name"],
            created_by=request.user,
            **{name: data[name] for name in _CREATED_WITH},
        )
        context = {
            "key": made.row,
            "secret": made.secret,
            "code_key": made.secret,
            "example_model": price_list.example_model(made.row.allowed_models or names),
        }
        return render(request, "gateway/key_created.html", context)
    return render(
        request,
        "gateway/key_new.html",
        {"form": form},
        status=422 if form.is_bound else 200,
    )


@limits.posts("30/m")
@member_required
def key_revoke(request: MemberRequest, pk: int) -> HttpResponse:
    """Asks once, saying what breaks; then revokes."""
    require(request.membership, KEY_ROLES)
    key = get_object_or_404(_keys(request.membership.organization), pk=pk)
    if request.method == "POST":
        if keys.revoke(key):
            messages.success(
                request,
                _("“%(name)s” is revoked. Requests with it get a 401.") % {"name": key.name},
            )
        return redirect("keys")
    return render(request, "gateway/key_revoke.html", {"key": key})


def _keys(organization: Organization):  # type: ignore[no-untyped-def]
    return ApiKey.objects.filter(organization=organization).select_related("project", "created_by")
