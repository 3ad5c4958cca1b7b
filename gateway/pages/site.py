"""The landing page, the OpenAPI document, and the chosen theme and language."""

from collections.abc import Container

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts import current, users
from accounts.models import ApiKey, User
from gateway.context import THEMES
from gateway.pages import landing

_YEAR_SECONDS = 365 * 24 * 3600


def home(request: HttpRequest) -> HttpResponse:
    """The landing page; people who are signed in go to their work."""
    if not request.user.is_authenticated:
        return render(request, "gateway/landing.html", landing.context())
    membership = current.membership(request)
    if membership is None:
        return redirect("organization_new")
    mine = ApiKey.objects.lasting().filter(organization_id=membership.organization_id)
    has_key = mine.exists()
    return redirect("overview" if has_key or not membership.may_manage_keys else "welcome")


def openapi_document(request: HttpRequest) -> HttpResponse:
    """`/openapi.json`: for tools, from any origin."""
    # What draws it is large, and few gateways are ever asked.
    from gateway import openapi

    answer = HttpResponse(openapi.document(settings.BASE_URL), content_type="application/json")
    answer["Access-Control-Allow-Origin"] = "*"
    return answer


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember the chosen theme, without JavaScript too, and go back."""
    return _remember(request, "theme", "theme", THEMES)


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember the chosen language, of a person for their mails too, and go back."""
    if isinstance(request.user, User):
        users.choose_language(request.user, request.POST.get("language", ""))
    return _remember(request, "language", settings.LANGUAGE_COOKIE_NAME, dict(settings.LANGUAGES))


def _remember(
    request: HttpRequest, field: str, cookie: str, allowed: Container[str]
) -> HttpResponse:
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = "/"
    response = redirect(target)
    chosen = request.POST.get(field, "")
    if chosen in allowed:
        response.set_cookie(
            cookie, chosen, max_age=_YEAR_SECONDS, samesite="Lax", secure=request.is_secure()
        )
    return response
