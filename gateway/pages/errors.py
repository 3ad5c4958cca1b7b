"""Pages for what went wrong. A limit that was hit is a 429, not a 403."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import get_template
from django_ratelimit.exceptions import Ratelimited

_RETRY_SECONDS = 60


def refused(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if isinstance(exception, Ratelimited):
        return too_many(request)
    return render(request, "403.html", status=403)


def too_many(request: HttpRequest) -> HttpResponse:
    """allauth's own limits end here too."""
    response = render(request, "429.html", status=429)
    response["Retry-After"] = str(_RETRY_SECONDS)
    return response


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "404.html", status=404)


def failed(request: HttpRequest) -> HttpResponse:
    """Uses no database and no context processor: either may be what failed."""
    return HttpResponse(get_template("500.html").render({"theme": "system"}), status=500)
