"""What every page of a signed-in person needs: their organization, and that they were seen."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject

from accounts import audit, current, impersonation, sessions


class CurrentOrganizationMiddleware:
    """Sets `request.membership`, read when first used; falsy for people without one. What the
    request changes is recorded as done by its sender.

    Views behind `accounts.access.member_required` get the membership itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.membership = SimpleLazyObject(  # type: ignore[attr-defined]
            lambda: current.membership(request)
        )
        with audit.during(request):
            return self.get_response(request)


class SessionActivityMiddleware:
    """Remembers when a session was last used, for its owner's list of them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        sessions.note_activity(request)
        return response


class ImpersonationMiddleware:
    """While an operator has a customer's dashboard open: its pages, and no change of anything
    unless they are a superuser."""

    # What changes nothing of anybody's, or ends it.
    _ALWAYS = ("impersonation_end", "account_logout", "logout", "theme", "language")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Strangers have no session: none is read for them.
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            impersonation.attach(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        found: impersonation.Impersonation | None = getattr(request, "impersonation", None)
        if found is None or found.may_change or request.method in ("GET", "HEAD", "OPTIONS"):
            return None
        match = request.resolver_match
        if match is not None and match.url_name in self._ALWAYS:
            return None
        return render(request, "accounts/impersonation_refused.html", {"open": found}, status=403)
